"""Who is queued, in which order?

Pure. One line per key, and one order of arrival over all lines. Every operation costs O(1), but for
`first_full`, which is O(log n) amortised.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Generic, TypeVar

from gateway.batching.entry import Entry, Line
from gateway.batching.heap import LazyHeap
from gateway.batching.key import BatchKey

T = TypeVar("T")


class Lines(Generic[T]):
    """The queued requests of an arm."""

    # Invariants:
    # - A queued request is in `_queued` and in exactly one line. Both are in order of arrival, but
    #   that those put back by `put_first` stand before all others.
    # - No line is empty: clients choose the keys, so what is not in use must not stay.
    # - `rows` is the weight of all that is queued.
    # - `_full` holds the head of every line that is full. A head stays one until it leaves its line.
    # Ordered dicts, because taking the first out of a plain dict costs O(n).

    def __init__(self, max_batch_rows: int) -> None:
        self.rows = 0
        self._max_batch_rows = max_batch_rows
        self._queued: OrderedDict[int, Entry[T]] = OrderedDict()
        self._open: dict[BatchKey, Line[T]] = {}
        self._full: LazyHeap[int] = LazyHeap(self._is_in_full_line)

    def __len__(self) -> int:
        """Requests queued."""
        return len(self._queued)

    def __contains__(self, entry_id: int) -> bool:
        """Whether the request is queued."""
        return entry_id in self._queued

    def __getitem__(self, entry_id: int) -> Entry[T]:
        """The queued request with this id."""
        return self._queued[entry_id]

    @property
    def oldest(self) -> Entry[T] | None:
        """The first in the order of arrival, None if nothing is queued."""
        return next(iter(self._queued.values()), None)

    @property
    def first_full(self) -> Entry[T] | None:
        """The oldest head among the lines that are full, None if none is."""
        head = self._full.first()
        return None if head is None else self._queued[head]

    def is_full(self, line: Line[T]) -> bool:
        """Whether its next batch cannot grow any more."""
        return line.closed or line.rows >= self._max_batch_rows

    def append(self, entry: Entry[T]) -> None:
        """Queue a request at the end of its key's line."""
        line = self._open.get(entry.key)
        # A line that is open has a key whose requests travel together, unless they have no rows.
        self._join(self._line_for(entry) if line is None or not entry.rows else line, entry)

    def put_first(self, entries: Sequence[Entry[T]]) -> None:
        """Queue requests before all others, in a line that nobody else joins."""
        line: Line[T] = Line(closed=True)
        for entry in entries:
            self._join(line, entry)
        for entry in reversed(entries):
            self._queued.move_to_end(entry.id, last=False)

    def remove(self, entry: Entry[T]) -> None:
        """Let a queued request go."""
        line = line_of(entry)
        self._leave(line, entry)
        if line.entries:
            self._note_full(line)
        elif not line.closed:
            del self._open[entry.key]

    def take_batch(self, line: Line[T]) -> list[Entry[T]]:
        """Remove the longest prefix of a line that fits into one batch, at least one request."""
        if line.rows <= self._max_batch_rows:
            return self._take_all(line)
        taken: list[Entry[T]] = []
        room = self._max_batch_rows
        while line.entries:
            entry = line.head
            room -= entry.rows
            if room < 0 and taken:
                self._note_full(line)
                return taken
            self._leave(line, entry)
            taken.append(entry)
        if not line.closed:
            del self._open[taken[0].key]
        return taken

    def _take_all(self, line: Line[T]) -> list[Entry[T]]:
        taken = list(line.entries.values())
        for entry in taken:
            entry.line = None
            del self._queued[entry.id]
        self.rows -= line.rows
        line.entries.clear()
        line.rows = 0
        if not line.closed:
            del self._open[taken[0].key]
        return taken

    def _line_for(self, entry: Entry[T]) -> Line[T]:
        line: Line[T] = Line(closed=entry.travels_alone)
        if not line.closed:
            self._open[entry.key] = line
        return line

    def _join(self, line: Line[T], entry: Entry[T]) -> None:
        weight = entry.rows or 1  # `entry.weight`, for every request
        entry.line = line
        line.entries[entry.id] = entry
        line.rows += weight
        self._queued[entry.id] = entry
        self.rows += weight
        if line.closed or line.rows - weight < self._max_batch_rows <= line.rows:
            self._note_full(line)  # at the moment it became full; later its head has been noted

    def _leave(self, line: Line[T], entry: Entry[T]) -> None:
        weight = entry.weight
        entry.line = None
        del line.entries[entry.id]
        line.rows -= weight
        del self._queued[entry.id]
        self.rows -= weight

    def _note_full(self, line: Line[T]) -> None:
        if self.is_full(line):
            self._full.push(line.head.id)

    def _is_in_full_line(self, entry_id: int) -> bool:
        entry = self._queued.get(entry_id)
        return entry is not None and self.is_full(line_of(entry))


def line_of(entry: Entry[T]) -> Line[T]:
    """The line that a queued request stands in."""
    assert entry.line is not None, "a queued request is in a line"
    return entry.line
