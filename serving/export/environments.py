"""How are steps run in the environments of torch and TensorFlow, and how do they end?

The build itself imports neither framework: each step is a process of its own, in a session of its own, so
that whatever it started (compilers) ends with it. Steps of one call run at the same time.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import gateway
import model_store
import serving
from model_store.records import Framework

__all__ = ["Environments", "Step", "StepFailed", "run_steps"]

STEP_TIMEOUT_S = 900.0
_END_TIMEOUT_S = 10.0
_TAIL_LINES = 25
_ENDING = (signal.SIGINT, signal.SIGTERM)


class StepFailed(Exception):
    """A step did not do its work; the text ends with what it printed last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Environments:
    """Where steps run.

    Attributes:
        torch, tensorflow: The interpreters.
        cache: A folder that the steps of one build share for their caches.
        roots: Where their packages are found, first match first.
    """

    torch: Path
    tensorflow: Path
    cache: Path
    roots: tuple[Path, ...] = tuple(
        dict.fromkeys(
            Path(package.__path__[0]).parent for package in (model_store, serving, gateway)
        )
    )

    def python(self, framework: Framework) -> Path:
        """The interpreter that has `framework`."""
        return self.torch if framework == "torch" else self.tensorflow

    def variables(self) -> dict[str, str]:
        """The environment variables of a step: this process's, and what makes steps alike and quiet."""
        return {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(str(root) for root in self.roots),
            "AOTI_RUNTIME_CHECK_INPUTS": "1",
            "HF_HUB_OFFLINE": "1",
            "TF_CPP_MIN_LOG_LEVEL": "2",
            "TOKENIZERS_PARALLELISM": "false",
            "TORCHINDUCTOR_CACHE_DIR": str(self.cache),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One process: `python -P -m serving.export.<framework>_steps <arguments>`, printing into `log`.

    `name` is what it is called in messages, for example `export iris for torch`.
    """

    name: str
    framework: Framework
    arguments: Sequence[str]
    log: Path


def run_steps(environments: Environments, steps: Sequence[Step]) -> None:
    """Run the steps at the same time and wait for all; none is left running, whatever happens.

    To be called in the main thread, where signals arrive.

    Raises:
        StepFailed: the first of them that failed, or took longer than `STEP_TIMEOUT_S`.
    """
    deadline = time.monotonic() + STEP_TIMEOUT_S
    variables = environments.variables()
    running: list[tuple[Step, subprocess.Popen[bytes]]] = []
    try:
        for step in steps:
            with _undisturbed():  # between its start and `append`, nobody would end it
                running.append((step, _start(environments, step, variables)))
        for step, process in running:
            _wait(step, process, deadline)
    finally:
        with _undisturbed():
            for _, process in running:
                _end(process)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Hold back the signals that end this process until the block is over; main thread only.

    Python's own handlers are exchanged, because a signal that one thread blocks may reach another
    (numpy has some).
    """
    late: list[int] = []

    def remember(number: int, _frame: FrameType | None) -> None:
        late.append(number)

    before = {number: signal.signal(number, remember) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for missed in late:
            signal.raise_signal(missed)


def _start(
    environments: Environments, step: Step, variables: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    python = environments.python(step.framework)
    module = f"serving.export.{step.framework}_steps"
    with step.log.open("wb") as log:
        try:
            return subprocess.Popen(
                # -P: `roots` alone decide what is imported, not the folder this happens to run in.
                [str(python), "-P", "-m", module, *step.arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(variables),
                start_new_session=True,
            )
        except OSError as exc:
            raise StepFailed(f"{step.name}: cannot start {python}: {exc.strerror}") from exc


def _wait(step: Step, process: subprocess.Popen[bytes], deadline: float) -> None:
    try:
        code = process.wait(timeout=max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired as exc:
        raise StepFailed(
            f"{step.name}: took over {STEP_TIMEOUT_S:.0f} s\n{_tail(step.log)}"
        ) from exc
    if code != 0:
        raise StepFailed(f"{step.name}: exit status {code}\n{_tail(step.log)}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and everything in its session, gently first."""
    if process.poll() is not None:
        return
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(timeout=_END_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _tail(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(f"    {line}" for line in lines[-_TAIL_LINES:])
