"""Which requests leave now, and which have waited too long?

Pure: no clock, no tasks, no I/O. `now` is an argument, in the seconds that `arrived` and `deadline` are
in, and never goes back.

How it works. Requests wait in lines, one per key (`lines.py`); a batch is the beginning of one line: the
higher priority first, then the sooner deadline. One batch in eight goes to another priority (`rotation.py`),
so that none starves another. A request is known from `offer` until it is cancelled, has expired or
its batch is finished: in flight too, because there its deadline still counts and its caller may still leave.

When a slot is free, the line that goes first leaves, unless something could still join its batch, all that is
queued is of one kind (else the slot has better to do), and to wait pays (`patience.py`) and risks no deadline.

A request that cannot make its deadline is refused when it is offered (`admission.py`). One for which that turns
out only when its batch would leave ends there, so that the others' batch is not spent on it.

Every operation costs O(log n) amortised in the requests known; `take`, `expire` and `finish`, for each that they return.
"""

from __future__ import annotations

import math
from typing import Generic, TypeVar

from gateway.batching.admission import MARGIN_RATIO, Admission
from gateway.batching.entry import Batch, Departure, Entry, Line
from gateway.batching.heap import LazyHeap
from gateway.batching.in_flight import InFlight
from gateway.batching.limits import BatchLimits, Slots
from gateway.batching.lines import Lines
from gateway.batching.patience import Patience
from gateway.batching.rotation import Rotation
from gateway.errors import QueueFull

T = TypeVar("T")


class Plan(Generic[T]):
    """What waits for one arm, what is in flight, and what is to be done next."""

    # Invariants:
    # - `_known` holds the requests that have not ended: each is either queued, or in a batch that was
    #   taken and not yet finished. Those in `_overdue` have ended, and are still to be told.
    # - `offer` keeps the queued rows within `max_queued_rows`; only `halve` may go beyond.
    # - Besides dead ones, `_deadlines` holds every known request.
    # - `_flights` are the batches that were taken and not yet finished, in that order.

    def __init__(self, limits: BatchLimits, slots: Slots | None = None) -> None:
        most = limits.max_in_flight
        # Who shares its slots with others cannot tell what its own number does.
        least = most if slots is not None else limits.min_in_flight or most
        self.in_flight = InFlight(least, most)
        self.slots = slots or Slots(self.in_flight.limit)
        self.patience = Patience(limits.max_delay_s)
        self._limits = limits
        self._known: dict[int, Entry[T]] = {}
        self._lines: Lines[T] = Lines(limits.max_batch_rows)
        self._admission = Admission(self._lines, self.slots, limits.max_batch_rows)
        self._flights: dict[Batch[T], None] = {}
        self._overdue: list[Entry[T]] = []
        self._deadlines: LazyHeap[tuple[float, int]] = LazyHeap(lambda e: e[1] in self._known)
        self._rotation = Rotation()
        self._has_waited = False

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
            DeadlineTooNear, WouldBeLate: it cannot be answered in time; nothing was changed.
        """
        rows = 0
        for entry in entries:
            rows += entry.rows or 1
        first, lines = entries[0], self._lines
        if lines.rows + rows > self._limits.max_queued_rows:
            raise QueueFull(
                f"{lines.rows} rows are queued and at most {self._limits.max_queued_rows} may be,"
                f" this request has {rows}"
            )
        # Most have far more time than the slowest batches would take, and are looked at no closer.
        batches = 2 + len(lines.standing) + (lines.rows + rows) // self._limits.max_batch_rows
        if MARGIN_RATIO * (first.deadline - first.arrived) < batches * self.slots.slowest_s:
            self._admission.check(first, rows, self._flights)
        for entry in entries:
            self._known[entry.id] = entry
            lines.append(entry)
            self._deadlines.push((entry.deadline, entry.id))
        if self.patience.max_delay_s:
            self.patience.arrived(first.arrived, len(entries))

    def cancel(self, entry_id: int) -> bool:
        """Forget a request, queued or in flight. False if it had ended already."""
        entry = self._known.pop(entry_id, None)
        if entry is None:
            return False
        self._forget(entry)
        return True

    def expire(self, now: float) -> list[Entry[T]]:
        """Forget the requests whose deadline has come, and return them and those that `take` found to be too late."""
        self._sweep(now)
        overdue, self._overdue = self._overdue, []
        return overdue

    def take(self, now: float) -> Batch[T] | None:
        """Form the next batch and give it a slot; None if no slot is free or no line is ready.

        Never takes a request whose deadline is `now` or earlier, nor one that would be late if its batch
        took as long as such batches usually do: the next `expire` returns them.
        """
        self._sweep(now)
        if not self.slots.has_room:
            return None
        line = self._first_line()
        while line is not None and self._drop_late(line, now):
            line = self._first_line()
        if line is None:
            self._has_waited = False
            return None
        departure = self._departure(line, now)
        self._has_waited = departure is None
        if departure is None or not self.slots.acquire(now):
            return None
        return self._form(line, departure, now)

    def finish(self, batch: Batch[T], backend_s: float | None, now: float | None = None) -> None:
        """Free the batch's slot and forget its requests.

        Args:
            batch: One that `take` returned, neither finished nor halved before.
            backend_s: How long the answer took in seconds, None if there was none.
            now: When that was, in seconds; None for `backend_s` after it left.
        """
        ended = batch.left_at + (backend_s or 0.0) if now is None else now
        self.slots.release(backend_s, ended)
        del self._flights[batch]
        for entry in batch.entries:
            self._known.pop(entry.id, None)
            entry.batch = None  # no cycle: tensors must not wait for the garbage collector
        if backend_s is not None:
            batch.latency.note(ended, batch.rows, backend_s)
            self._admission.latest.note(ended, backend_s)
            self._learn(batch, ended)

    def give_up(self, batch: Batch[T], now: float) -> None:
        """As `finish`, for a batch that is waited for no longer: it would have taken longer than this."""
        lasted_s = now - batch.left_at
        usual_s = batch.latency.usual_s(now, batch.rows)
        self.finish(batch, None, now)
        if usual_s is None or lasted_s >= usual_s:
            batch.latency.note(now, batch.rows, lasted_s)
            self.slots.note(lasted_s, now)

    def halve(self, batch: Batch[T]) -> None:
        """Free the batch's slot and queue its requests that still wait again, as two halves.

        Nobody joins them, and they go as they went before: by their own priorities and deadlines. The bound
        does not hold for them: they were accepted once.
        """
        self.slots.release(None)
        del self._flights[batch]
        waiting = self.still_waiting(batch)
        middle = (len(waiting) + 1) // 2
        for half in (waiting[:middle], waiting[middle:]):
            self._lines.put_back(half)
            for entry in half:
                entry.batch = None

    def still_waiting(self, batch: Batch[T]) -> list[Entry[T]]:
        """Its requests that were neither cancelled nor expired, in order."""
        if batch.waiting == len(batch.entries):
            return batch.entries
        return [entry for entry in batch.entries if entry.id in self._known]

    def hurry(self) -> None:
        """From now on no batch waits to grow: no more requests will come."""
        self.patience.max_delay_s = 0.0

    def is_urgent(self, until: float) -> bool:
        """Whether a batch is full, or a deadline would be at risk if none left before `until`."""
        line = self._first_line()
        return self._is_risky(until) or (line is not None and self._lines.is_full(line))

    def wake_at(self) -> float | None:
        """When something is due, in seconds: when `expire` or `take` will return something.

        Never early: at that moment something is due. Never late: nothing is due before, unless a
        request is offered, or a request or batch ends. It has passed if something is due already; it
        is None if nothing will ever be.
        """
        if self._overdue:
            return -math.inf
        first = self._deadlines.first()
        if first is None:
            return None
        line = self._first_line() if self.slots.has_room else None
        if line is None:
            return first[0]
        if not self._may_wait(line):
            return -math.inf
        return min(self.patience.until, first[0] - self.slots.reserve_s)

    def _first_line(self) -> Line[T] | None:
        return self._lines.first(self._rotation.order)

    def _departure(self, line: Line[T], now: float) -> Departure | None:
        """Why a line leaves now; None if it waits."""
        if self._lines.is_full(line):
            return "full"
        if not self._may_wait(line):
            return "slot_free"
        if now >= self.patience.until:
            return "delay" if self._has_waited else "slot_free"
        return "deadline" if self._is_risky(now) else None

    def _is_risky(self, at: float) -> bool:
        first = self._deadlines.first()
        return first is not None and first[0] - self.slots.reserve_s <= at

    def _may_wait(self, line: Line[T]) -> bool:
        """Whether it would pay that a line waits, while there is time for that."""
        patience, lines = self.patience, self._lines
        if not patience.max_delay_s or lines.is_full(line):
            return False
        return line.rows == lines.rows and patience.pays(len(lines))

    def _drop_late(self, line: Line[T], now: float) -> bool:
        """End those of a line that cannot be answered in time any more; whether there were any."""
        needed_s = self._admission.needed_s(line, now) if self._is_tight(now) else 0.0
        if not needed_s:
            return False
        dropped = self._lines.drop_before(line, now + needed_s)
        for entry in dropped:
            del self._known[entry.id]
            entry.needed_s = needed_s
        self._overdue += dropped
        return bool(dropped)

    def _is_tight(self, now: float) -> bool:
        """Whether a deadline is nearer than the slowest batch of late took."""
        first = self._deadlines.first()
        return first is not None and first[0] - now <= self.slots.slowest_s

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

    def _learn(self, batch: Batch[T], now: float) -> None:
        limit = self.in_flight.note(now, batch.rows, self._lines.rows)
        if self.slots.max_in_flight:  # else everything is held back
            self.slots.max_in_flight = limit
        patience = self.patience
        if patience.max_delay_s:
            rows = batch.rows / max(len(batch.entries), 1) * patience.expected
            spared_s = batch.latency.spared_s(now, int(rows))
            patience.answered(now, len(self._lines), spared_s, is_waiting=self._has_waited)

    def _form(self, line: Line[T], departure: Departure, now: float) -> Batch[T]:
        is_tight = self._is_tight(now)
        most = self._admission.rows_in_time(line, now) if is_tight else self._limits.max_batch_rows
        entries = self._lines.take_batch(line, self._rotation.order, most)
        self._rotation.note(entries[0].priority)
        batch = Batch(
            key=entries[0].key,
            entries=entries,
            departure=departure,
            left_at=now,
            rows=sum([entry.rows for entry in entries]),
            latency=line.latency,
            waiting=len(entries),
        )
        self._flights[batch] = None
        for entry in entries:
            entry.batch = batch
        return batch
