"""Who is queued, in which order?

Pure. One line per key, in each the higher priority first and then the sooner deadline; of the lines the one goes first
whose first has the higher priority, and then has to be served sooner. Every operation costs O(log n) amortised for each request it adds or removes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

from gateway.batching.entry import HIGHEST_FIRST, Entry, Line
from gateway.batching.heap import LazyHeap
from gateway.batching.key import BatchKey
from gateway.batching.latency import Latency

T = TypeVar("T")

_MAX_KEPT = 256
_SOME = 8
_HORIZON_S = 10.0


class Lines(Generic[T]):
    """The queued requests of an arm.

    Attributes:
        rows: The weight of all of them.
        standing: The lines in which somebody stands, since the longest time first.
    """

    # Invariants:
    # - A queued request is in `_queued` and in exactly one line, and in that line's `order`.
    # - `_open` has every open line in which somebody stands, and of the empty ones, which know how long their
    #   batches take, only so many: clients choose the keys. Keys with parameters are of any size, and not kept.
    # - `_latencies` are of kinds whose lines are not kept: those that travel alone, or have parameters.
    # - `_heads[p]` holds, besides dead ones, the first of priority p of every line.

    def __init__(self, max_batch_rows: int) -> None:
        self.rows = 0
        self.standing: dict[Line[T], None] = {}
        self._max_batch_rows = max_batch_rows
        self._queued: dict[int, Entry[T]] = {}
        self._open: dict[BatchKey, Line[T]] = {}
        self._joined_last: Line[T] = Line(closed=True)
        self._latencies: dict[BatchKey, Latency] = {}
        self._heads: dict[int, LazyHeap[tuple[float, int]]] = {
            priority: LazyHeap(self._is_head) for priority in HIGHEST_FIRST
        }

    def __len__(self) -> int:
        """Requests queued."""
        return len(self._queued)

    def first(self, priorities: Sequence[int]) -> Line[T] | None:
        """The line that goes first, None if nothing is queued."""
        if self.rows == self._joined_last.rows:  # as nearly always: there is no other
            return self._joined_last if self.rows else None
        for priority in priorities:
            head = self._heads[priority].first()
            if head is not None:
                return line_of(self._queued[head[1]])
        return None

    def is_full(self, line: Line[T]) -> bool:
        """Whether its next batch cannot grow any more."""
        return line.closed or line.rows >= self._max_batch_rows

    def latency_of(self, key: BatchKey) -> Latency:
        """How long batches with this key lately took."""
        line = self._open.get(key)
        if line is not None:
            return line.latency
        if key.parameters:  # of any size, and as many as a caller likes
            key = key._replace(parameters=())
        latency = self._latencies.pop(key, None) or Latency()
        if len(self._latencies) >= _MAX_KEPT:
            del self._latencies[next(iter(self._latencies))]
        self._latencies[key] = latency  # at the end: the last to be forgotten
        return latency

    def some(self) -> list[Line[T]]:
        """The lines in which somebody stands, or of more than sixteen the eight oldest and the eight newest."""
        standing = self.standing
        if len(standing) <= 2 * _SOME:
            return list(standing)
        return [*itertools.islice(standing, _SOME), *itertools.islice(reversed(standing), _SOME)]

    def goes_by(self, entry: Entry[T], rows: int) -> float:
        """The deadline by which a request of so many rows would go: the first's of its line, if it fits into its batch."""
        line = self._open.get(entry.key)
        if line is None or entry.travels_alone or line.rows + rows > self._max_batch_rows:
            return entry.deadline
        order = line.order.get(entry.priority)
        first = order.first() if order is not None else None
        return entry.deadline if first is None else min(entry.deadline, first[0])

    def append(self, entry: Entry[T]) -> None:
        """Queue a request in its key's line."""
        line = self._open.get(entry.key)
        # A line that is open has a key whose requests travel together, unless they have no rows.
        if line is None or not entry.rows:
            line = self._new_line(entry)
        self._joined_last = line
        # Who has much time would else go when it has none left, behind ever new ones with less.
        by = min(entry.deadline, entry.arrived + _HORIZON_S)
        entry.start_by = by - line.latency.latest_s
        if self._join(line, entry):
            self._heads[entry.priority].push((entry.start_by, entry.id))

    def put_back(self, entries: Sequence[Entry[T]]) -> None:
        """Queue requests again, in a line that nobody else joins and that goes by their own priorities and deadlines."""
        if not entries:
            return
        line: Line[T] = Line(latency=self.latency_of(entries[0].key), closed=True)
        for entry in entries:
            if self._join(line, entry):
                self._heads[entry.priority].push((entry.start_by, entry.id))

    def remove(self, entry: Entry[T]) -> None:
        """Let a queued request go."""
        line = line_of(entry)
        self._leave(line, entry)
        self._tidy(line, entry.key)

    def drop_before(self, line: Line[T], deadline: float) -> list[Entry[T]]:
        """Let those of a line go whose deadlines are earlier, soonest first."""
        dropped: list[Entry[T]] = []
        for order in line.order.values():
            while (first := order.first()) is not None and first[0] < deadline:
                entry = line.entries[first[1]]
                if entry.is_trial:
                    break
                self._leave(line, entry)
                dropped.append(entry)
        if dropped:
            self._tidy(line, dropped[0].key)
        return sorted(dropped, key=lambda entry: (entry.deadline, entry.id))

    def take_batch(self, line: Line[T], priorities: Sequence[int], most: int) -> list[Entry[T]]:
        """Remove from a line what goes first and fits into so many rows, at least one request."""
        if line.rows <= most:
            taken = self._take_all(line, priorities)
        else:
            taken, room = [], most
            for entry in self._in_order(line, priorities):
                room -= entry.rows
                if room < 0 and taken:
                    break
                self._leave(line, entry)
                taken.append(entry)
        self._tidy(line, taken[0].key)
        return taken

    def _in_order(self, line: Line[T], priorities: Sequence[int]) -> Iterator[Entry[T]]:
        """Its requests; each has to leave before the next is asked for."""
        for priority in priorities:
            order = line.order.get(priority)
            while order is not None and (first := order.first()) is not None:
                yield line.entries[first[1]]

    def _take_all(self, line: Line[T], priorities: Sequence[int]) -> list[Entry[T]]:
        entries, orders = line.entries, line.order
        taken = [
            entries[entry_id]
            for priority in priorities
            if priority in orders
            for _, entry_id in orders[priority].pop_all()
        ]
        for entry in taken:
            entry.line = None
            del self._queued[entry.id]
        self.rows -= line.rows
        entries.clear()
        line.rows = 0
        return taken

    def _new_line(self, entry: Entry[T]) -> Line[T]:
        latency = self.latency_of(entry.key)
        line: Line[T] = Line(latency=latency, closed=entry.travels_alone)
        if not line.closed:
            self._make_room()
            self._open[entry.key] = line
        return line

    def _make_room(self) -> None:
        """Where too many lines are kept, forget the one that was opened first, if it is empty."""
        if len(self._open) >= _MAX_KEPT:
            key = next(iter(self._open))
            line = self._open.pop(key)
            if line.entries:
                self._open[key] = line

    def _join(self, line: Line[T], entry: Entry[T]) -> bool:
        """Add a request to a line, and say whether it is now the first of its priority there."""
        weight, priority = entry.rows or 1, entry.priority  # `entry.weight`, for every request
        entry.line = line
        if not line.entries:
            self.standing[line] = None
        line.entries[entry.id] = entry
        line.rows += weight
        self._queued[entry.id] = entry
        self.rows += weight
        order = line.order.get(priority)
        if order is None:
            entries = line.entries
            order = line.order[priority] = LazyHeap(lambda element: element[1] in entries)
        return order.push((entry.deadline, entry.id))

    def _leave(self, line: Line[T], entry: Entry[T]) -> None:
        """Remove a request from its line, which is to be tidied then."""
        weight = entry.weight
        entry.line = None
        del line.entries[entry.id]
        line.rows -= weight
        del self._queued[entry.id]
        self.rows -= weight

    def _tidy(self, line: Line[T], key: BatchKey) -> None:
        """Those who are first now in a line that somebody left become its heads."""
        for priority, order in line.order.items():
            first = order.first()  # also where none is: what stays on top counts as the first
            if first is not None:
                self._heads[priority].push((line.entries[first[1]].start_by, first[1]))
        if line.entries:
            return
        del self.standing[line]
        if not line.closed and (key.parameters or len(self._open) > _MAX_KEPT):
            del self._open[key]

    def _is_head(self, element: tuple[float, int]) -> bool:
        entry = self._queued.get(element[1])
        if entry is None:
            return False
        first = line_of(entry).order[entry.priority].first()
        return first is not None and first[1] == element[1]


def line_of(entry: Entry[T]) -> Line[T]:
    """The line that a queued request stands in."""
    assert entry.line is not None, "a queued request is in a line"
    return entry.line
