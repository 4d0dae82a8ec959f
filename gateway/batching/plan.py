"""Which requests leave now, and which have waited too long?

Pure: no clock, no tasks, no I/O. `now` is an argument, in the seconds that `arrived` and `deadline` are
in, and never goes back.

How it works. Requests wait in lines, one per key (`lines.py`); a batch is a prefix of one line. A
request is known from `offer` until it is cancelled, has expired or its batch is finished: in flight
too, because there its deadline still counts and its caller may still leave.

A line is *ready* when a slot is free and
- nothing else could join its batch: it holds `max_batch_rows`, or it is closed, or
- `max_delay_s` is 0, or has passed since its head arrived, or
- waiting longer would put a deadline in it at risk.
The line of the arm's oldest request leaves first. Where that may wait and others are ready, the nearest
deadline at risk leaves first, then the full line with the oldest head.

Every operation costs O(log n) amortised in the requests known; `take`, `expire` and `finish` cost that
for each request they return or forget.
"""

from __future__ import annotations

import math
from typing import Generic, TypeVar

from gateway.batching.entry import Batch, Departure, Entry, Line
from gateway.batching.heap import LazyHeap
from gateway.batching.limits import BatchLimits, Slots
from gateway.batching.lines import Lines, line_of
from gateway.errors import QueueFull

T = TypeVar("T")


class Plan(Generic[T]):
    """What waits for one arm, what is in flight, and what is to be done next."""

    # Invariants:
    # - `_known` holds the requests that have not ended: each is either queued, or in a batch that was
    #   taken and not yet finished. Those in `_overdue` have ended, and are still to be told.
    # - `offer` keeps the queued rows within `max_queued_rows`; only `halve` may go beyond.
    # - Besides dead ones, `_deadlines` holds every known request, and `_urgent` every queued one whose
    #   line is not closed.

    def __init__(self, limits: BatchLimits) -> None:
        self.slots = Slots(limits.max_in_flight)
        self._delay_s = limits.max_delay_s
        self._max_queued_rows = limits.max_queued_rows
        self._known: dict[int, Entry[T]] = {}
        self._lines: Lines[T] = Lines(limits.max_batch_rows)
        self._overdue: list[Entry[T]] = []
        self._deadlines: LazyHeap[tuple[float, int]] = LazyHeap(lambda e: e[1] in self._known)
        self._urgent: LazyHeap[tuple[float, int]] = LazyHeap(lambda e: e[1] in self._lines)

    @property
    def queued_rows(self) -> int:
        """Rows that wait for a batch; a request without rows counts as one."""
        return self._lines.rows

    @property
    def queued_requests(self) -> int:
        """Requests that wait for a batch."""
        return len(self._lines)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is queued and nothing in flight."""
        return not self._lines and not self.slots.in_flight

    def offer(self, *entries: Entry[T]) -> None:
        """Queue a request, or all pieces of one request, or nothing.

        Raises:
            QueueFull: not all its rows fit; nothing was changed.
        """
        rows = 0
        for entry in entries:
            rows += entry.rows or 1
        if self._lines.rows + rows > self._max_queued_rows:
            raise QueueFull(
                f"{self._lines.rows} rows are queued and at most {self._max_queued_rows} may be,"
                f" this request has {rows}"
            )
        for entry in entries:
            self._known[entry.id] = entry
            self._lines.append(entry)
            self._deadlines.push((entry.deadline, entry.id))
            if self._delay_s:
                self._urgent.push((entry.deadline, entry.id))

    def cancel(self, entry_id: int) -> bool:
        """Forget a request, queued or in flight. False if it had ended already."""
        entry = self._known.pop(entry_id, None)
        if entry is None:
            return False
        self._forget(entry)
        return True

    def expire(self, now: float) -> list[Entry[T]]:
        """Forget the requests whose deadline is `now` or earlier and return them, earliest first."""
        self._sweep(now)
        overdue, self._overdue = self._overdue, []
        return overdue

    def take(self, now: float) -> Batch[T] | None:
        """Form the next batch and give it a slot; None if no slot is free or no line is ready.

        Never takes a request whose deadline is `now` or earlier: the next `expire` returns it.
        """
        self._sweep(now)
        oldest = self._lines.oldest
        if oldest is None or not self.slots.has_room:
            return None
        ready = self._ready_line(oldest, now)
        if ready is None:
            return None
        line, departure = ready
        self.slots.acquire()
        return self._form(line, departure, now)

    def finish(self, batch: Batch[T], backend_s: float | None) -> None:
        """Free the batch's slot and forget its requests.

        Args:
            batch: One that `take` returned, neither finished nor halved before.
            backend_s: How long the answer took in seconds, None if there was none.
        """
        self.slots.release(backend_s)
        for entry in batch.entries:
            self._known.pop(entry.id, None)
            entry.batch = None  # no cycle: tensors must not wait for the garbage collector

    def halve(self, batch: Batch[T]) -> None:
        """Free the batch's slot and queue its requests that still wait again, as two halves.

        They go before all others and nobody joins them. The bound does not hold for them: they were
        accepted once.
        """
        self.slots.release(None)
        waiting = self.still_waiting(batch)
        middle = (len(waiting) + 1) // 2
        for half in (waiting[middle:], waiting[:middle]):
            self._lines.put_first(half)
            for entry in half:
                entry.batch = None

    def still_waiting(self, batch: Batch[T]) -> list[Entry[T]]:
        """Its requests that were neither cancelled nor expired, in order."""
        if batch.waiting == len(batch.entries):
            return batch.entries
        return [entry for entry in batch.entries if entry.id in self._known]

    def hurry(self) -> None:
        """From now on no batch waits to grow: no more requests will come."""
        self._delay_s = 0.0

    def wake_at(self) -> float | None:
        """When something is due, in seconds: when `expire` or `take` will return something.

        Never early: at that moment something is due. Never late: nothing is due before, unless a
        request is offered, or a request or batch ends. It has passed if something is due already; it
        is None if nothing will ever be.
        """
        if self._overdue:
            return self._overdue[0].deadline
        first = self._deadlines.first()
        if first is None:
            return None
        oldest = self._lines.oldest
        if oldest is None or not self.slots.has_room:
            return first[0]
        return min(first[0], self._ready_at(oldest))

    def _forget(self, entry: Entry[T]) -> None:
        if entry.batch is None:
            self._lines.remove(entry)
        else:
            entry.batch.waiting -= 1

    def _sweep(self, now: float) -> None:
        while (first := self._deadlines.first()) is not None and first[0] <= now:
            entry = self._known.pop(first[1])
            self._forget(entry)
            self._overdue.append(entry)

    def _ready_line(self, oldest: Entry[T], now: float) -> tuple[Line[T], Departure] | None:
        line = line_of(oldest)
        if self._lines.is_full(line):
            return line, "full"
        if not self._delay_s:
            return line, "slot_free"
        if oldest.arrived + self._delay_s <= now:
            return line, "delay"
        urgent = self._urgent.first()
        if urgent is not None and urgent[0] - self.slots.reserve_s <= now:
            return line_of(self._lines[urgent[1]]), "deadline"
        head = self._lines.first_full
        return None if head is None else (line_of(head), "full")

    def _ready_at(self, oldest: Entry[T]) -> float:
        if not self._delay_s:
            return oldest.arrived
        head = self._lines.first_full
        if head is not None:
            return head.arrived
        urgent = self._urgent.first()
        risk = math.inf if urgent is None else urgent[0] - self.slots.reserve_s
        return min(oldest.arrived + self._delay_s, risk)

    def _form(self, line: Line[T], departure: Departure, now: float) -> Batch[T]:
        entries = self._lines.take_batch(line)
        batch = Batch(
            key=entries[0].key,
            entries=entries,
            departure=departure,
            left_at=now,
            waiting=len(entries),
        )
        for entry in entries:
            entry.batch = batch
        return batch
