"""An event loop in which no time passes while anything can run, and any amount passes when nothing can.

Timers fire in order and exactly on time, so tests with hours of waiting are deterministic and take
milliseconds. If nothing can ever run again, somebody is stranded: `Stuck` is raised, instead of a hang.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import TypeVar

T = TypeVar("T")


class Stuck(AssertionError):
    """Every task waits, and no timer is set."""


class _JumpingSelector(selectors.DefaultSelector):
    """Does not wait for a timeout, but lets the clock jump over it."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if events or timeout == 0:
            return events
        if timeout is None:
            raise Stuck("every task waits, and no timer is set")
        self.now += timeout
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock starts at 0."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now

    def timers_set(self) -> int:
        """How many timers are set and not cancelled."""
        handles: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]  # no API
        return sum(not handle.cancelled() for handle in handles)


def run(main: Callable[[], Coroutine[None, None, T]]) -> T:
    """Run a coroutine function in a fresh `VirtualTimeLoop`."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main())


async def settle() -> None:
    """Let everything happen that can happen before any more time passes (but for 1 ms)."""
    await asyncio.sleep(0.001)


def timers_set(loop: asyncio.AbstractEventLoop) -> int:
    """How many timers of this loop are set and not cancelled."""
    assert isinstance(loop, VirtualTimeLoop)
    return loop.timers_set()
