"""What does a policy do in real time? The place of `simulation.driver`, with a clock and a backend that are real."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from gateway.batching.entry import Entry
from gateway.simulation.driver import Scheduler
from gateway.simulation.requests import ONE_KEY, Arrival, Request

__all__ = ["Driven", "Send", "drive"]

Send: TypeAlias = Callable[[Sequence[int]], Awaitable[None]]
"""Sends a batch of these requests, by number, and waits for its answer."""


@dataclass(slots=True)
class Driven:
    """What came of a run.

    Attributes:
        latencies_s: Of every request by number, from when it was due until its batch's answer.
        batches: Rows of each batch.
        late_s: Of every request, how long after it was due it was offered.
    """

    latencies_s: list[float]
    batches: list[int] = field(default_factory=list)
    late_s: list[float] = field(default_factory=list)


async def drive(scheduler: Scheduler[Any], due_s: Sequence[float], send: Send) -> Driven:
    """Offer requests of one row when they are due, ascending seconds from now, until all are answered."""
    driven = Driven([float("nan")] * len(due_s))
    async with asyncio.TaskGroup() as group:
        run = _Run(scheduler, send, group, driven)
        await run.offer_all(due_s)
    return driven


class _Run:
    """One run; its tasks are the batches in flight."""

    # Invariant between two awaits: nothing is due, or a timer fires no later than that.

    def __init__(
        self, scheduler: Scheduler[Any], send: Send, group: asyncio.TaskGroup, driven: Driven
    ) -> None:
        self._scheduler = scheduler
        self._send = send
        self._group = group
        self._driven = driven
        self._clock = asyncio.get_running_loop().time
        self._timer: asyncio.TimerHandle | None = None
        self._answered = 0
        self._all_answered = asyncio.Event()

    async def offer_all(self, due_s: Sequence[float]) -> None:
        start = self._clock()
        for number, due in enumerate(due_s):
            at = start + due
            if (wait_s := at - self._clock()) > 0:
                await asyncio.sleep(wait_s)
            self._offer(number, at)
        if due_s:
            await self._all_answered.wait()

    def _offer(self, number: int, due: float) -> None:
        now = self._clock()
        self._driven.late_s.append(now - due)
        slot = Request(Arrival(at=due))
        entry = Entry(id=number, key=ONE_KEY, rows=1, arrived=now, deadline=float("inf"), slot=slot)
        self._scheduler.offer(entry)
        self._advance()

    def _advance(self) -> None:
        """Send what is due, and come again when something will be."""
        now = self._clock()
        while (batch := self._scheduler.take(now)) is not None:
            self._group.create_task(self._fly(batch))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        wake_at = self._scheduler.wake_at()
        if wake_at is not None and wake_at < float("inf"):
            self._timer = asyncio.get_running_loop().call_at(wake_at, self._advance)

    async def _fly(self, batch: Any) -> None:
        entries: list[Entry[Request]] = batch.entries
        await self._send([entry.id for entry in entries])
        now = self._clock()
        self._driven.batches.append(len(entries))
        self._scheduler.finish(batch, now - batch.left_at)
        for entry in entries:
            self._driven.latencies_s[entry.id] = now - entry.slot.arrival.at
        self._answered += len(entries)
        if self._answered == len(self._driven.latencies_s):
            self._all_answered.set()
        self._advance()
