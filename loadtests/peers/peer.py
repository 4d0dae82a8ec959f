"""What is a server under comparison, and how is one started, watched and stopped?"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from importlib.metadata import distributions
from pathlib import Path
from typing import Literal, TypeAlias

from loadtests.bench.processes import ROOT, Running, free_port
from loadtests.peers.forms import Form
from loadtests.peers.processes import Family

__all__ = [
    "VARIANTS",
    "Command",
    "Model",
    "NotServing",
    "Peer",
    "Server",
    "Settings",
    "Start",
    "Variant",
    "started",
]


class NotServing(Exception):
    """A peer cannot be started, has ended, or gives no right answer."""


Model: TypeAlias = Literal["iris", "minilm"]
Variant: TypeAlias = Literal["recommended", "tuned"]
Settings: TypeAlias = Mapping[str, str | int | float | bool]

VARIANTS: tuple[Variant, ...] = ("recommended", "tuned")


@dataclass(frozen=True, slots=True)
class Start:
    """What a peer is told when it is started: which model, how, on which port, and a folder for its files."""

    model: Model
    settings: Settings
    port: int
    scratch: Path

    @property
    def told(self) -> list[str]:
        """As our services take it on their command lines."""
        return [self.model, str(self.port), json.dumps(dict(self.settings))]


@dataclass(frozen=True, slots=True)
class Command:
    """A process: what to run, what to add to our variables, and where it stands."""

    argv: Sequence[str | Path]
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path = ROOT


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A server under comparison.

    Attributes:
        name: As it is called in options and rows.
        title: As its makers call it.
        version: The distribution that has its version, and the environment that holds it.
        form: How one row is asked for.
        path: Of the URL, with `{model}` where the name goes.
        settings: Of each variant, by model. `client_pads_to` is the client's: it pads a row to the smallest
            multiple of that number, because the server batches rows of one length only.
        commands: The processes that make it up; the last listens on the port.
        needs: What else is missing, "" for nothing.
    """

    name: str
    title: str
    version: tuple[str, str]
    form: Form
    path: str
    settings: Mapping[Variant, Mapping[Model, Settings]]
    commands: Callable[[Start], Sequence[Command]]
    needs: Callable[[], str] = str

    @property
    def missing(self) -> str:
        """Why it cannot be started here; "" if it can."""
        environment = ROOT / self.version[1]
        if (environment / "bin").is_dir():
            return self.needs()
        return f"{self.version[1]} is missing: run loadtests/peers/install.sh {self.name}"

    def tuned(self, changes: Settings) -> Peer:
        """The same with these settings in its tuned variant, over those of either model that have them."""
        tuned = {
            model: {name: changes.get(name, value) for name, value in settings.items()}
            for model, settings in self.settings["tuned"].items()
        }
        return replace(self, settings={**self.settings, "tuned": tuned})

    def installed(self) -> str:
        """Its version."""
        name, environment = self.version
        packages = str(ROOT / environment / "lib" / "python3.11" / "site-packages")
        (found, *_) = distributions(name=name, path=[packages])
        return found.version


@dataclass(frozen=True, slots=True)
class Server:
    """A running peer: `host:port`, and its processes."""

    address: str
    families: Sequence[Family]

    def cpu_s(self) -> float:
        """Processor seconds that all its processes have used so far."""
        return sum(family.cpu_s() for family in self.families)

    def check(self) -> None:
        """See that it runs.

        Raises:
            NotServing: a part of it has ended; with its last words.
        """
        for family in self.families:
            if family.running.process.poll() is not None:
                tail = family.running.log.read_text(errors="replace")[-2000:]
                raise NotServing(f"{family.running.name} ended:\n{tail}")


@contextmanager
def started(
    peer: Peer, model: Model, variant: Variant, *, scratch: Path, cores: Sequence[int]
) -> Iterator[Server]:
    """A peer's processes, on `cores` alone, until the block ends; it may not be ready yet."""
    folder = scratch / f"{peer.name}-{model}-{variant}"
    folder.mkdir(exist_ok=True)
    start = Start(model, peer.settings[variant][model], free_port(), folder)
    with ExitStack() as stack:
        families = [
            stack.enter_context(_process(f"{peer.name}-{number}", command, folder, cores))
            for number, command in enumerate(peer.commands(start))
        ]
        yield Server(f"127.0.0.1:{start.port}", families)


@contextmanager
def _process(name: str, command: Command, logs: Path, cores: Sequence[int]) -> Iterator[Family]:
    log = logs / f"{name}.log"
    ours = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **command.environment}
    taskset = ["taskset", "-c", ",".join(map(str, cores))]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*taskset, *map(str, command.argv)],
            cwd=command.folder,
            env=ours,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        family = Family(Running(name, process, log))
        try:
            yield family
        finally:
            family.stop()
