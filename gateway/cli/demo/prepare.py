"""What must be there before anything can be started: the environments, and a built model store."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

from gateway.cli.launch import Tools
from gateway.cli.processes import Launch, run_to_end
from gateway.cli.terminal import CommandError, Terminal, seconds

__all__ = ["build_store", "tell_environments"]

_SHOWN_LINES = 30


def tell_environments(tools: Tools, terminal: Terminal) -> None:
    """Tell which versions are installed.

    Raises:
        CommandError: an environment is missing.
    """
    versions = [f"gateway Python {sys.version.split()[0]}"]
    for python, name in ((tools.torch_python, "torch"), (tools.tf_python, "tensorflow")):
        if not python.exists():
            raise CommandError(f"the {name} environment is missing ({python}): run `make setup`")
        versions.append(f"{name} {_version(python, name)}")
    terminal.field("environments", " · ".join(versions))


def _version(python: Path, name: str) -> str:
    """The version of a distribution, by the name of its folder: asking the environment takes seconds."""
    libraries = python.parent.parent / "lib"
    for pattern in (f"{name}-*.dist-info", f"{name}_cpu-*.dist-info"):
        for folder in libraries.glob(f"python3*/site-packages/{pattern}"):
            return folder.name.removesuffix(".dist-info").rpartition("-")[2]
    return "(version unknown)"


async def build_store(models: list[str], tools: Tools, terminal: Terminal) -> None:
    """Build those of the models that have changed; a model without a definition is left as it is.

    Raises:
        CommandError: a model was refused by the parity gate, or a step failed.
    """
    defined = [m for m in models if (tools.store / m / "definition.py").is_file()]
    begun = time.monotonic()
    label = ["model store"]
    progress: list[str] = []

    def on_output(line: str) -> None:
        terminal.field(label.pop() if label else "", line)

    def on_progress(line: str) -> None:
        progress.append(line)
        terminal.status(f"{line.strip()}  {seconds(time.monotonic() - begun)}")

    launch = Launch(
        name="store",
        argv=(sys.executable, "-m", "serving.export", "build", *defined),
        cwd=tools.root,
        grace_s=15.0,  # it ends its own steps, which takes it up to 10 s
        last_signal=signal.SIGTERM,
    )
    if defined:
        status = await run_to_end(launch, on_output=on_output, on_progress=on_progress)
        if status != 0:
            told = "\n".join(progress[-_SHOWN_LINES:])
            raise CommandError(f"the model store could not be built (status {status})\n{told}")
