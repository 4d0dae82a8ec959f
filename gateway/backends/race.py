"""Which of two calls answers first? The second is made only if the first takes long."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Generic, TypeAlias, TypeVar

from gateway.errors import GatewayError

__all__ = ["Race"]

_T = TypeVar("_T")
_Call: TypeAlias = Coroutine[Any, Any, _T]

_MIN_AGAIN_S = 0.01


class Race(Generic[_T]):
    """One call and at most one rival, run once.

    Attributes:
        is_over: Whether an answer has been taken: a call that is cancelled from then on was outrun.
        has_rival: Whether the rival was called.
        rival_won: Whether its answer was taken.
        waited_s: Seconds that the first call took to its answer, or until it was outrun; None while it has
            done neither.
    """

    def __init__(self) -> None:
        self.waited_s: float | None = None
        self.is_over = False
        self.has_rival = False
        self.rival_won = False

    async def run(
        self,
        call: _Call[_T],
        rival: Callable[[], _Call[_T] | None],
        *,
        patience_s: float | None,
    ) -> _T:
        """The first answer of the two; the other call is cancelled, and has ended when this returns.

        An error is not an answer: it is the outcome only where nobody else is left to give one. A caller
        that leaves cancels both.

        Args:
            call: Made at once.
            rival: Gives the other call, or None for none now; asked if `call` has not ended by then, and as
                long as it gave none again, each time after twice as long.
            patience_s: Seconds until then, in whole milliseconds or a little more; None for never.

        Raises:
            GatewayError: `call` failed, and so did the rival, if there was one.
        """
        loop = asyncio.get_running_loop()
        started = loop.time()
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(_outcome(call))]
            other = await _rival_of(calls[0], rival, patience_s)
            if other is not None:
                self.has_rival = True
                calls.append(group.create_task(_outcome(other)))
            winner = await _first_answer(calls)
            self.is_over = True
            self.rival_won = winner is not calls[0]
            if not _has_failed(calls[0]):
                self.waited_s = loop.time() - started
            for task in calls:
                task.cancel()
        outcome = winner.result()
        if isinstance(outcome, GatewayError):
            raise outcome
        return outcome


async def _rival_of(
    call: asyncio.Task[_T | GatewayError],
    rival: Callable[[], _Call[_T] | None],
    patience_s: float | None,
) -> _Call[_T] | None:
    """The other call, None where the first ended before there was one."""
    while True:
        await asyncio.wait([call], timeout=_whole_ms(patience_s))
        if call.done():
            return None
        other = rival()
        if other is not None:
            return other
        patience_s = max(2.0 * (patience_s or 0.0), _MIN_AGAIN_S)


def _whole_ms(seconds: float | None) -> float | None:
    # uvloop's timers count milliseconds: one of less than half would fire at once.
    return None if seconds is None else math.ceil(seconds * 1e3) / 1e3


async def _outcome(call: _Call[_T]) -> _T | GatewayError:
    # A task that fails would take its group with it.
    try:
        return await call
    except GatewayError as error:
        return error


async def _first_answer(
    calls: Sequence[asyncio.Task[_T | GatewayError]],
) -> asyncio.Task[_T | GatewayError]:
    """The call that was answered first; the first of all where none was."""
    waiting = set(calls)
    while waiting:
        _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in calls:
            if task.done() and not _has_failed(task):
                return task
    return calls[0]


def _has_failed(task: asyncio.Task[_T | GatewayError]) -> bool:
    return task.done() and isinstance(task.result(), GatewayError)
