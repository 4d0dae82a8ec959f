"""How are several servers started, watched, and stopped so that none is left behind?

- Each child is a session of its own, so that Ctrl-C reaches only us, and we stop them in order.
- The kernel ends a child when we die in any way, SIGKILL included (PR_SET_PDEATHSIG).
- A watched child that ends before it is told to ends the whole fleet, with its last words; one that was
  only spawned is its keeper's to mourn.
- A child's output goes to `<logs>/<name>.log`, new for every fleet; a child of the same name adds to it.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from gateway.cli.terminal import CommandError

__all__ = ["Child", "ChildDied", "Fleet", "Launch", "fleet", "run_to_end", "tail"]

_PR_SET_PDEATHSIG = 1
_TAIL_BYTES = 8192
_TAIL_LINES = 12
_MAX_LINE_BYTES = 1 << 20
_BY_SIGNAL = 128  # as a shell says which signal ended a program


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """How one child is started.

    Attributes:
        grace_s: Seconds between SIGTERM and SIGKILL when it is stopped.
        last_signal: What the kernel sends it when we die. SIGKILL, since nobody would be left to insist;
            SIGTERM for one that has children of its own to end.
    """

    name: str
    argv: tuple[str, ...]
    cwd: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    grace_s: float = 10.0
    last_signal: signal.Signals = signal.SIGKILL


class ChildDied(CommandError):
    """A child ended by itself; the text has its last lines of output, `status` is never 0."""


class Child:
    """A running child. Invariant: `is_stopping` is set before we tell it to end.

    Attributes:
        log: The file that its output goes to, from the byte `log_begin` on.
    """

    def __init__(self, launch: Launch, process: Process, log: Path, log_begin: int = 0) -> None:
        self.launch = launch
        self.process = process
        self.log = log
        self.log_begin = log_begin
        self.is_stopping = False
        self._failure = ""

    def __repr__(self) -> str:
        state = "running" if self.process.returncode is None else f"ended {self.process.returncode}"
        return f"<Child {self.launch.name} pid {self.process.pid} {state}>"

    async def watch(self) -> None:
        """Wait for the end.

        Raises:
            ChildDied: nobody had told it to end; its status is the child's own.
        """
        end = await self.end()
        if not self.is_stopping:
            status = _exit_status(self.process.returncode)
            raise ChildDied(f"{self.launch.name} {end}; {self.last_words()}", status=status)

    async def end(self) -> str:
        """Wait for the end, and say how it came; whatever the child had started goes with it."""
        status = await self.process.wait()
        self._kill_group()
        return self._failure or _how_it_ended(status)

    def last_words(self) -> str:
        """Where its output is, and the last lines of it."""
        return f"the end of {self.log}:\n{tail(self.log, self.log_begin)}"

    def fail(self, why: str) -> None:
        """Kill it for not doing what it is there for: an end that nobody told it, and `why` it came."""
        self._failure = why
        self._kill_group()

    async def stop(self) -> None:
        """SIGTERM, then SIGKILL after the grace; whatever it had started goes with it."""
        self.is_stopping = True
        self.send(signal.SIGTERM)
        with suppress(TimeoutError):
            async with asyncio.timeout(self.launch.grace_s):
                await self.process.wait()
        self.kill()
        await self.process.wait()

    def kill(self) -> None:
        """SIGKILL to it and to all it had started; does not wait."""
        self.is_stopping = True
        self._kill_group()

    def send(self, what: signal.Signals) -> None:
        """Send a signal to it alone, if it still runs."""
        with suppress(ProcessLookupError):
            self.process.send_signal(what)

    def _kill_group(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)


class Fleet:
    """The children that run together, in the order of their start."""

    def __init__(self, group: asyncio.TaskGroup, logs: Path) -> None:
        self.children: list[Child] = []
        self._group = group
        self._logs = logs
        self._keepers: list[asyncio.Task[None]] = []

    def __repr__(self) -> str:
        return f"<Fleet {self.children}>"

    async def start(self, launch: Launch) -> Child:
        """Start a child and watch it from now on: its end is the end of the fleet.

        Raises:
            CommandError: its program cannot be run.
        """
        child = await self.spawn(launch)
        self._group.create_task(child.watch())
        return child

    async def spawn(self, launch: Launch) -> Child:
        """Start a child that the caller watches; it takes the place of an ended one of the same name.

        Raises:
            CommandError: its program cannot be run.
        """
        self._logs.mkdir(parents=True, exist_ok=True)
        log = self._logs / f"{launch.name}.log"
        places = [at for at, c in enumerate(self.children) if c.launch.name == launch.name]
        with log.open("ab" if places else "wb") as output:
            begin = output.seek(0, os.SEEK_END)
            process = await _spawn(launch, stdout=output, stderr=STDOUT)
        child = Child(launch, process, log, begin)
        if places:
            self.children[places[0]] = child
        else:
            self.children.append(child)
        return child

    def keep(self, keeping: Coroutine[None, None, None]) -> None:
        """Run what spawns and watches children; it is cancelled before they are stopped."""
        self._keepers.append(self._group.create_task(keeping))

    async def stop(self) -> None:
        """Stop every child, the last started first; at most the sum of their graces.

        If the wait is cancelled (a second Ctrl-C), all are killed at once.
        """
        for keeper in self._keepers:  # or one would start again what is stopped here
            keeper.cancel()
        try:
            for child in reversed(self.children):
                await child.stop()
        except asyncio.CancelledError:
            self.kill()
            for child in self.children:
                await child.process.wait()
            raise

    def kill(self) -> None:
        """Kill every child at once."""
        for child in self.children:
            child.kill()


@asynccontextmanager
async def fleet(logs: Path) -> AsyncIterator[Fleet]:
    """A fleet that is stopped when the block ends, however it ends.

    Raises:
        ChildDied: a child ended by itself; the block was cancelled and the others stopped.
    """
    try:
        async with asyncio.TaskGroup() as group:
            running = Fleet(group, logs)
            try:
                yield running
            finally:
                await running.stop()
    except BaseExceptionGroup as errors:
        # What went wrong first is what the person should read; the rest followed from it.
        raise _first(errors) from None


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    error = errors.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


async def run_to_end(
    launch: Launch, *, on_output: Callable[[str], None], on_progress: Callable[[str], None]
) -> int:
    """Run a child until it ends and return its status; it is stopped if the caller is cancelled.

    Args:
        launch: What to run.
        on_output: Is told each line of its standard output.
        on_progress: Is told each line of its standard error.

    Raises:
        CommandError: its program cannot be run.
    """
    process = await _spawn(launch, stdout=PIPE, stderr=PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    child = Child(launch, process, Path(os.devnull))
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_tell_lines(process.stdout, on_output))
            group.create_task(_tell_lines(process.stderr, on_progress))
        return await process.wait()
    finally:
        await child.stop()


async def _tell_lines(stream: asyncio.StreamReader, tell: Callable[[str], None]) -> None:
    async for line in stream:
        tell(line.decode(errors="replace").rstrip("\n"))


async def _spawn(launch: Launch, *, stdout: IO[bytes] | int, stderr: int) -> Process:
    try:
        return await asyncio.create_subprocess_exec(
            *launch.argv,
            cwd=launch.cwd,
            env={**os.environ, **launch.environment},
            stdin=DEVNULL,
            stdout=stdout,
            stderr=stderr,
            limit=_MAX_LINE_BYTES,
            start_new_session=True,
            preexec_fn=_death_pact(os.getpid(), launch.last_signal),
        )
    except OSError as exc:
        raise CommandError(f"cannot run {launch.argv[0]}: {exc.strerror}") from exc


def tail(log: Path, begin: int = 0) -> str:
    """The last lines of a log that come after its byte `begin`, indented."""
    with log.open("rb") as file:
        file.seek(max(begin, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
        lines = file.read().decode(errors="replace").splitlines()[-_TAIL_LINES:]
    return "\n".join(f"    {line}" for line in lines) or "    (it wrote nothing)"


def _how_it_ended(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    name = signal.Signals(-status).name
    hint = ", perhaps for want of memory" if name == "SIGKILL" else ""
    return f"was ended by {name}{hint}"


def _exit_status(status: int | None) -> int:
    """What we exit with for a child that ended by itself, which is a failure whatever it thinks of it."""
    if status is not None and status < 0:
        return _BY_SIGNAL - status
    return status or 1


def _death_pact(parent: int, last_signal: signal.Signals) -> Callable[[], None] | None:
    """What a new child runs before its program: a pact with the kernel to be signalled when we die."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl  # looked up here: after a fork it is too late

    def make_pact() -> None:
        prctl(_PR_SET_PDEATHSIG, last_signal, 0, 0, 0)
        if os.getppid() != parent:  # we died between the fork and the pact
            os._exit(1)

    return make_pact
