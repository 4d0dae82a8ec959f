"""How is a backend kept running while everything else stays up? `restarts` decides, this does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from gateway.cli.processes import Child, ChildDied, Fleet, Launch
from gateway.cli.terminal import CommandError, Terminal, seconds
from gateway.restarts import Patience, Record, after_failure

__all__ = ["Keeper", "NotReady", "UntilReady"]


class NotReady(CommandError):
    """Something did not become ready in time."""


# Waits until the backend is ready and returns the seconds that took; NotReady when that is too long.
UntilReady: TypeAlias = Callable[[], Awaitable[float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Life:
    """From one start to its end: how that came, its last words, the seconds it was ready (None: never)."""

    end: str
    last_words: str
    ready_s: float | None


class Keeper:
    """One backend that is started, and started again when it ends by itself.

    Invariant: `ready` is set when it is ready for the first time, and `took_s` is known by then.
    """

    def __init__(
        self,
        launch: Launch,
        children: Fleet,
        *,
        until_ready: UntilReady,
        terminal: Terminal,
        patience: Patience,
    ) -> None:
        self.name = launch.name
        self.ready = asyncio.Event()
        self.took_s = 0.0
        self._launch = launch
        self._children = children
        self._until_ready = until_ready
        self._terminal = terminal
        self._patience = patience

    async def keep(self) -> None:
        """Start it and keep it running until the fleet stops.

        Raises:
            ChildDied: it ended before it ever was ready, or failed too often in a row.
            CommandError: its program cannot be run.
        """
        record = Record()
        while True:
            life = await self._live(record)
            verdict = after_failure(record, life.ready_s, self._patience)
            record = verdict.record
            if verdict.wait_s is None:
                raise ChildDied(self._farewell(life, record))
            again = f"starting it again in {seconds(verdict.wait_s)}"
            self._terminal.field(self.name, f"{life.end}; {again} (restart {record.restarts})")
            await asyncio.sleep(verdict.wait_s)

    async def _live(self, record: Record) -> _Life:
        child = await self._children.spawn(self._launch)
        async with asyncio.TaskGroup() as group:
            coming = group.create_task(self._greet(child, record))
            end = await child.end()
            ended_at = asyncio.get_running_loop().time()
            coming.cancel()
        ready_at = None if coming.cancelled() else coming.result()
        ready_s = None if ready_at is None else ended_at - ready_at
        return _Life(end=end, last_words=child.last_words(), ready_s=ready_s)

    async def _greet(self, child: Child, record: Record) -> float | None:
        """Wait until it is ready, and tell; the time of that, None for one that took too long."""
        try:
            self.took_s = await self._until_ready()
        except NotReady as error:
            child.fail(str(error))
            return None
        if self.ready.is_set():
            again = f"ready again after {seconds(self.took_s)} (restart {record.restarts})"
            self._terminal.field(self.name, again)
        self.ready.set()
        return asyncio.get_running_loop().time()

    def _farewell(self, life: _Life, record: Record) -> str:
        end = f"{life.end}; {life.last_words}"
        if not record.was_ready:
            return f"{self.name} {end}"
        return f"{self.name} failed {record.failures} times in a row and is given up; it {end}"
