"""What happens, in which order, if time passes only where nothing is left to do?

The place of `batching.dispatch` in virtual time: it offers, expires, takes and finishes, at exactly the
moments at which the shell would if it took no time itself. All decisions are the scheduler's: the very
`batching.plan.Plan` that serves, or one of `policies.py`. Nothing but the passed generators is random,
so a run can be repeated.

Two promises are checked all the time, and break as `Stranded`: where `wake_at` says that something is
due, something is; and when nothing will ever happen again, everyone has been told how it ended.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from heapq import heappop, heappush
from itertools import count
from typing import Generic, Protocol, TypeVar

from gateway.batching.entry import Entry
from gateway.errors import GatewayBusy
from gateway.simulation.arrivals import Source
from gateway.simulation.backend import Backend
from gateway.simulation.requests import Arrival, Ended, Outcome, Request

__all__ = ["Leaving", "Scheduler", "Simulation", "Stranded"]


class Leaving(Protocol):
    """Requests that leave together; `batching.entry.Batch` is one."""

    @property
    def entries(self) -> list[Entry[Request]]:
        """All of them."""
        ...

    @property
    def left_at(self) -> float:
        """When they were taken."""
        ...


BatchT = TypeVar("BatchT", bound=Leaving)


class Scheduler(Protocol[BatchT]):
    """Who leaves when, with whom? The part of `batching.plan.Plan` that every policy has; see there."""

    def offer(self, *entries: Entry[Request]) -> None:
        """Queue a request, or all pieces of one. Raises: GatewayBusy: nothing was changed."""
        ...

    def expire(self, now: float) -> list[Entry[Request]]:
        """Forget those that have waited too long, and return them."""
        ...

    def take(self, now: float) -> BatchT | None:
        """Form the next batch and give it a slot, if one is to leave now."""
        ...

    def finish(self, batch: BatchT, backend_s: float | None) -> None:
        """Free its slot. `backend_s` is None if there was no answer."""
        ...

    def give_up(self, batch: BatchT, now: float) -> None:
        """Free its slot: nobody waits for it any longer."""
        ...

    def wake_at(self) -> float | None:
        """When something is due; None if nothing will be before something else happens."""
        ...


class Stranded(AssertionError):
    """Nothing will ever happen again and somebody still waits; or the same moment would never end."""


class Simulation(Generic[BatchT]):
    """One arm, its callers and its backend.

    Args:
        scheduler: Decides.
        backend: Computes.
        max_batch_rows: What the scheduler takes at once; larger requests are offered in pieces.

    Attributes:
        now: Virtual seconds since it began.
        batches: Rows of each batch that was sent.
    """

    # Invariants, between two moments:
    # - A batch that was taken and has not ended is in `_flights`.
    # - A request that was accepted and has not ended has pieces in `waiting`.

    def __init__(
        self, scheduler: Scheduler[BatchT], backend: Backend, *, max_batch_rows: int
    ) -> None:
        self.now = 0.0
        self.batches: list[int] = []
        self._scheduler = scheduler
        self._backend = backend
        self._max_batch_rows = max_batch_rows
        self._ids = count()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._orders = count()
        self._flights: dict[object, BatchT] = {}
        self._ended: list[Ended] = []
        self._open = 0

    def run(self, source: Source) -> list[Ended]:
        """Let everything happen, and return how each request ended, in the order in which they did.

        Raises:
            Stranded: the scheduler broke a promise.
        """
        self._source = source
        self._first: Iterator[Arrival] = source.first()
        self._expect_next()
        while (moment := self._next_moment()) < math.inf:
            self.now = moment
            while self._events and self._events[0][0] <= moment:
                heappop(self._events)[2]()
            self._advance()
        if self._open or self._flights:
            raise Stranded(f"{self._open} requests wait for ever at {self.now:.6f} s")
        return self._ended

    def at(self, when: float, act: Callable[[], None]) -> None:
        """Let something happen at that moment, or now if it has passed."""
        heappush(self._events, (max(when, self.now), next(self._orders), act))

    def _next_moment(self) -> float:
        event_at = self._events[0][0] if self._events else math.inf
        wake_at = self._scheduler.wake_at()
        if wake_at is None:
            return event_at
        if wake_at <= self.now:
            raise Stranded(f"at {self.now:.6f} s something is due that does not happen")
        return min(event_at, wake_at)

    # Requests come.

    def _expect_next(self) -> None:
        arrival = next(self._first, None)
        if arrival is not None:
            self.at(arrival.at, partial(self._arrive_and_expect, arrival))

    def _arrive_and_expect(self, arrival: Arrival) -> None:
        self._expect_next()
        self._arrive(arrival)

    def _arrive(self, arrival: Arrival) -> None:
        request = Request(arrival)
        entries = [self._entry(request, rows) for rows in self._pieces(arrival)]
        try:
            self._scheduler.offer(*entries)
        except GatewayBusy:  # full, or it would be late
            self._refuse(request)
        else:
            self._accept(request, entries)

    def _accept(self, request: Request, entries: list[Entry[Request]]) -> None:
        request.waiting = {entry.id: entry for entry in entries}
        self._open += 1

    def _refuse(self, request: Request) -> None:
        self._open += 1
        self._end(request, "refused")

    def _entry(self, request: Request, rows: int) -> Entry[Request]:
        """The one place that knows what an entry is made of."""
        return Entry(
            id=next(self._ids),
            key=request.arrival.key,
            rows=rows,
            arrived=self.now,
            deadline=request.arrival.deadline,
            slot=request,
            priority=request.arrival.priority,
        )

    def _pieces(self, arrival: Arrival) -> list[int]:
        if arrival.rows <= self._max_batch_rows or not arrival.key.batchable:
            return [arrival.rows]
        full, rest = divmod(arrival.rows, self._max_batch_rows)
        return [self._max_batch_rows] * full + ([rest] if rest else [])

    # Time passes.

    def _advance(self) -> None:
        self._launch_all()
        while expired := self._scheduler.expire(self.now):
            for entry in expired:
                self._end_piece(entry, "expired")
                self._give_up_if_last(entry)
            self._launch_all()  # in the slots of those that were given up

    def _launch_all(self) -> None:
        while (batch := self._scheduler.take(self.now)) is not None:
            self._launch(batch)

    def _launch(self, batch: BatchT) -> None:
        rows = 0
        for entry in batch.entries:
            rows += entry.rows
            entry.slot.left_at = self.now
        self.batches.append(rows)
        self._flights[batch] = batch
        self.at(self._backend.send(rows, self.now), partial(self._land, batch))

    def _land(self, batch: BatchT) -> None:
        """The answer comes, unless nobody waits for it any more."""
        if batch in self._flights:
            waiting = self._waiting(batch)
            self._finish(batch, self.now - batch.left_at)
            self._end_all(waiting, "answered")

    def _give_up_if_last(self, entry: Entry[Request]) -> None:
        """Call a batch back that nobody waits for. The backend computes it all the same."""
        if entry.batch is not None and not entry.batch.waiting:
            self._scheduler.give_up(self._flights.pop(entry.batch), self.now)

    def _waiting(self, batch: BatchT) -> list[Entry[Request]]:
        """Its entries that have not ended, by our own books."""
        return [entry for entry in batch.entries if entry.id in entry.slot.waiting]

    def _finish(self, batch: BatchT, backend_s: float | None) -> None:
        del self._flights[batch]
        self._scheduler.finish(batch, backend_s)

    # Requests end.

    def _end_all(self, entries: list[Entry[Request]], outcome: Outcome) -> None:
        for entry in entries:
            self._end_piece(entry, outcome)

    def _end_piece(self, entry: Entry[Request], outcome: Outcome) -> None:
        """A request has been answered when all its pieces have; any other end of one is its own."""
        request = entry.slot
        del request.waiting[entry.id]
        if request.outcome is None and (outcome != "answered" or not request.waiting):
            self._end(request, outcome)

    def _end(self, request: Request, outcome: Outcome) -> None:
        assert request.outcome is None, "a request ends once"
        request.outcome = outcome
        self._open -= 1
        ended = Ended(
            arrival=request.arrival, outcome=outcome, at=self.now, left_at=request.left_at
        )
        self._ended.append(ended)
        following = self._source.after(ended)
        if following is not None:
            self.at(following.at, partial(self._arrive, following))
