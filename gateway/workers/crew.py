"""How are the workers kept running, and stopped?

Each is a process of its own session, so that Ctrl-C reaches the supervisor alone, which then tells all of them.
One that ends untold is started again, later each time; one that fails too often in a row ends everything.

One that hangs is killed, which gives back what it holds: its slots, its connections, its part in the metrics.
Every second a worker says that its event loop turns. The bound for its silence is no setting, because it follows:

- No healthy loop stands still for seconds: what takes longer than milliseconds is done in other processes. What
  stops it is a stopped process, a deadlock, or native code that does not return.
- Those behind a hung worker's slots wait for that long, and have to be answered still: `limits.default_timeout_s`
  is 30 s, of which a third goes.
- It is counted in turns of the supervisor's own loop. What stops both of them (a paused container, a suspended
  machine, no processor for either) is no silence.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol

from gateway.restarts import Patience, Record, after_failure
from gateway.workers.orders import BEAT_S, LEAVING, UP, Orders

__all__ = ["Crew", "Watcher"]

PATIENCE: Final = Patience(first_wait_s=0.2, longest_wait_s=10.0)
# In beats, so about in seconds.
_MOST_SILENT: Final = 10
_FEW_SILENT: Final = 3
_MOST_SILENT_BEFORE_UP: Final = 60

_log = logging.getLogger("tandem.workers")


class Watcher(Protocol):
    """Who is told what becomes of the workers, by their numbers."""

    def came_up(self, number: int, /) -> None:
        """It serves."""

    def leaves(self, number: int, /) -> None:
        """It takes no new connections, and will end."""

    def ended(self, number: int, /) -> None:
        """It is gone, whatever it was."""

    def hangs(self, number: int, /) -> None:
        """It has not said for too long that it lives, and is killed."""

    def starts_again(self, number: int, /) -> None:
        """It ended untold, and is started once more."""

    def gave_up(self, number: int, why: str, /) -> None:
        """It ended before it ever served, or failed too often in a row: it is not started again."""


@dataclass(slots=True)
class _Life:
    """One process of a worker.

    Attributes:
        process: As the kernel knows it.
        up_at: When it came up, None before.
        is_leaving: Whether it drains.
        silent: So many beats of it are missing.
    """

    process: Process
    up_at: float | None = None
    is_leaving: bool = False
    silent: int = 0

    def send(self, number: signal.Signals) -> None:
        """Signal the process; one that has ended need not hear it."""
        with suppress(ProcessLookupError):
            self.process.send_signal(number)


class Crew:
    """The workers of one supervisor.

    Invariant: `_lives` has an entry for each process that has not ended.
    """

    def __init__(
        self, orders: Callable[[int], Orders], inherited: Sequence[int], watcher: Watcher
    ) -> None:
        self._orders = orders
        self._inherited = tuple(inherited)
        self._watcher = watcher
        self._lives: dict[int, _Life] = {}
        self._stopping = asyncio.Event()
        self._changed = asyncio.Event()
        self._statuses: dict[int, int] = {}

    def __repr__(self) -> str:
        return f"<Crew up {self.up}>"

    @property
    def up(self) -> list[int]:
        """The workers that serve."""
        return sorted(
            number
            for number, life in self._lives.items()
            if life.up_at is not None and not life.is_leaving
        )

    @property
    def talking(self) -> list[int]:
        """The workers that are worth asking: they serve, or drain, and have not fallen silent."""
        return sorted(
            number
            for number, life in self._lives.items()
            if life.up_at is not None and life.silent < _FEW_SILENT
        )

    def pid(self, number: int) -> int | None:
        """The worker's process, None while it has none."""
        life = self._lives.get(number)
        return None if life is None else life.process.pid

    async def until_up(self, count: int) -> None:
        """Wait until so many serve; that a worker gave up is the watcher's to know."""
        while len(self.up) < count:
            self._changed.clear()
            await self._changed.wait()

    async def keep(self, number: int) -> None:
        """Start a worker and keep it running until `tell`, or until it is given up."""
        record = Record()
        while not self._stopping.is_set():
            try:
                status, up_s = await self._live(number)
            except OSError as error:  # no process to be had: not now, perhaps
                fields = {"worker": number, "error": str(error)}
                _log.error("cannot start a worker", extra={"fields": fields})
                status, up_s = 1, None
            if self._stopping.is_set():
                return
            verdict = after_failure(record, up_s, PATIENCE)
            record = verdict.record
            fields = {"worker": number, "status": status, "failures": record.failures}
            _log.error("a worker ended", extra={"fields": fields})
            if verdict.wait_s is None:
                often = f"failed {record.failures} times in a row: it {_how(status)}"
                why = often if record.was_ready else f"{_how(status)} before it ever served"
                self._watcher.gave_up(number, f"worker {number} {why}")
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(verdict.wait_s):
                    await self._stopping.wait()
                    return
            self._watcher.starts_again(number)

    def tell(self) -> None:
        """Tell every worker to drain and end."""
        self._stopping.set()
        for life in self._lives.values():
            life.send(signal.SIGTERM)

    def kill(self) -> None:
        """End what still runs, at once: the last resort."""
        self._stopping.set()
        for life in self._lives.values():
            life.send(signal.SIGKILL)

    async def end(self, grace_s: float) -> bool:
        """Wait until every worker has ended; those that take longer are killed. Whether all went well."""
        went_well = True
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self._until_gone()
        for number, life in self._lives.items():
            _log.error("a worker did not end in time", extra={"fields": {"worker": number}})
            went_well = False
            life.send(signal.SIGKILL)
        await self._until_gone()
        return went_well and not any(self._statuses.values())

    async def _until_gone(self) -> None:
        while self._lives:
            self._changed.clear()
            await self._changed.wait()

    async def _live(self, number: int) -> tuple[int, float | None]:
        """One life of a worker: its exit status, and the seconds for which it served (None: never)."""
        loop = asyncio.get_running_loop()
        process = await self._spawn(number)
        self._lives[number] = life = _Life(process)
        if self._stopping.is_set():  # it was told to the others while this one was made
            life.send(signal.SIGTERM)
        try:
            async with asyncio.TaskGroup() as group:
                listening = group.create_task(self._listen(number, life))
                status = await process.wait()
                listening.cancel()
        finally:
            if process.returncode is None:
                process.kill()
            del self._lives[number]
            self._watcher.ended(number)
            self._changed.set()
        if life.up_at is not None and self._stopping.is_set():
            self._statuses[number] = status
        return status, None if life.up_at is None else loop.time() - life.up_at

    async def _spawn(self, number: int) -> Process:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway.workers.child"),
            stdin=PIPE,
            stdout=PIPE,
            pass_fds=self._inherited,
            start_new_session=True,
        )
        assert process.stdin is not None, "it is a pipe"
        process.stdin.write(self._orders(number).written())
        process.stdin.close()
        return process

    async def _listen(self, number: int, life: _Life) -> None:
        """Hear what it says of itself; one that says nothing for too long is killed."""
        stdout = life.process.stdout
        assert stdout is not None, "it is a pipe"
        while life.silent < (_MOST_SILENT_BEFORE_UP if life.up_at is None else _MOST_SILENT):
            try:
                async with asyncio.timeout(BEAT_S):
                    said = await stdout.readline()
                    if not said:  # it has closed its end, and is about to be gone
                        await asyncio.sleep(2 * BEAT_S)
            except TimeoutError:
                life.silent += 1
                continue
            except ValueError:  # a line too long to be one of ours: something in it has printed
                life.silent = 0
                continue
            life.silent = 0
            self._heard(number, life, said)
        fields = {"worker": number, "pid": life.process.pid, "silent_s": life.silent * BEAT_S}
        if life.up_at is None:
            _log.error("a worker did not come up, and is killed", extra={"fields": fields})
        else:
            _log.error("a worker hangs, and is killed", extra={"fields": fields})
            self._watcher.hangs(number)
        life.send(signal.SIGKILL)

    def _heard(self, number: int, life: _Life, said: bytes) -> None:
        if said == UP:
            life.up_at = asyncio.get_running_loop().time()
            self._watcher.came_up(number)
            self._changed.set()
        elif said == LEAVING:
            life.is_leaving = True
            self._watcher.leaves(number)


def _how(status: int) -> str:
    if status < 0:
        return f"was ended by {signal.Signals(-status).name}"
    return f"ended with status {status}"
