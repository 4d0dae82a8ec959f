"""How are the workers kept running, and stopped?

Each is a process of its own session, so that Ctrl-C reaches the supervisor alone, which then tells all of them.
One that ends untold is started again, later each time; one that fails too often in a row ends everything.
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
from gateway.workers.orders import LEAVING, UP, Orders

__all__ = ["Crew", "Watcher"]

PATIENCE: Final = Patience(first_wait_s=0.2, longest_wait_s=10.0)
_UP_TIMEOUT_S: Final = 60.0

_log = logging.getLogger("tandem.workers")


class Watcher(Protocol):
    """Who is told what becomes of the workers, by their numbers."""

    def came_up(self, number: int, /) -> None:
        """It serves."""

    def leaves(self, number: int, /) -> None:
        """It takes no new connections, and will end."""

    def ended(self, number: int, /) -> None:
        """It is gone, whatever it was."""

    def starts_again(self, number: int, /) -> None:
        """It ended untold, and is started once more."""

    def gave_up(self, number: int, why: str, /) -> None:
        """It ended before it ever served, or failed too often in a row: it is not started again."""


@dataclass(slots=True)
class _Life:
    """One process of a worker. `up_at` is when it came up, None before."""

    process: Process
    up_at: float | None = None
    is_leaving: bool = False


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
                why = f"failed {record.failures} times in a row: it" if record.was_ready else ""
                self._watcher.gave_up(number, f"worker {number} {why} {_how(status)}")
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(verdict.wait_s):
                    await self._stopping.wait()
                    return
            self._watcher.starts_again(number)

    def tell(self) -> None:
        """Tell every worker to end: to drain, or, if it does already, at once."""
        self._stopping.set()
        for life in self._lives.values():
            with suppress(ProcessLookupError):
                life.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End what still runs, at once: the last resort."""
        self._stopping.set()
        for life in self._lives.values():
            life.process.kill()

    async def end(self, grace_s: float) -> bool:
        """Wait until every worker has ended; those that take longer are killed. Whether all went well."""
        went_well = True
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self._until_gone()
        for number, life in self._lives.items():
            _log.error("a worker did not end in time", extra={"fields": {"worker": number}})
            went_well = False
            life.process.kill()
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
        try:
            async with asyncio.timeout(_UP_TIMEOUT_S):
                said = await stdout.readline()
        except TimeoutError:
            _log.error("a worker did not come up", extra={"fields": {"worker": number}})
            life.process.kill()
            return
        if said == UP:
            life.up_at = asyncio.get_running_loop().time()
            self._watcher.came_up(number)
            self._changed.set()
            if await stdout.readline() == LEAVING:
                life.is_leaving = True
                self._watcher.leaves(number)


def _how(status: int) -> str:
    if status < 0:
        return f"was ended by {signal.Signals(-status).name}"
    return f"ended with status {status}"
