"""Can a request still be answered in time?

Pure. The prediction is: when a slot frees, then the batches ahead of it one after another in all slots, then its
own with all that will be in it by then, each by what batches of its kind usually take of late; a tenth of the time that a
request has is kept in hand. Where nothing is known nothing is refused, and in every
second in which nothing else shows whether what is known still holds, one request is let through to find out: a model
that was slow once might else be refused every request, and so never be seen to be fast again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Generic, TypeVar

from gateway.batching.entry import Batch, Entry, Line
from gateway.batching.limits import Slots
from gateway.batching.lines import Lines
from gateway.errors import DeadlineTooNear, WouldBeLate

__all__ = ["MARGIN_RATIO", "Admission"]

T = TypeVar("T")

_LEAST_RATIO = 0.3
_TRIAL_S = 1.0
MARGIN_RATIO = 0.9  # what is predicted is a median: half take longer


class Admission(Generic[T]):
    """Who would be late.

    Args:
        lines: What is queued.
        slots: The places at the backend.
        most: Rows in one batch.

    Attributes:
        answered_at: When a batch was answered last, in seconds.
    """

    def __init__(self, lines: Lines[T], slots: Slots, most: int) -> None:
        self.answered_at = -math.inf
        self._lines = lines
        self._slots = slots
        self._most = most

    def check(self, entry: Entry[T], rows: int, flights: Iterable[Batch[T]]) -> None:
        """Refuse a request that cannot be answered in time.

        Args:
            entry: The request, or its first piece.
            rows: Of all of it.
            flights: The batches at the backend, the oldest first.

        Raises:
            DeadlineTooNear: its own batch takes longer than it has.
            WouldBeLate: with what is ahead of it, it would take longer than it has.
        """
        now, most, has_s = entry.arrived, self._most, entry.deadline - entry.arrived
        line = self._lines.line_for(entry.key)
        if line is None or self._is_trial(now):
            return
        alone_s = line.latency.usual_s(now, min(rows, most))
        if alone_s is not None and alone_s > has_s:
            raise DeadlineTooNear(
                f"the deadline is in {has_s:.3f} s, and a batch of {min(rows, most)} rows lately took {alone_s:.3f} s"
            )
        ahead = self._lines.rows_before(entry.priority, entry.deadline)
        own_s = line.latency.usual_s(now, int(min(ahead + rows, most))) or 0.0
        full_s = line.latency.usual_s(now, most) or 0.0
        before_s = (ahead + rows - 1) // most * full_s / max(self._slots.max_in_flight, 1)
        needs_s = self._free_in_s(now, flights) + before_s + own_s
        if needs_s > has_s * MARGIN_RATIO:
            raise WouldBeLate(
                f"the deadline is in {has_s:.3f} s, and the answer would come in about {needs_s:.3f} s:"
                f" {ahead:.0f} rows go before it, and {self._slots.in_flight} batches are at the backend",
                retry_after_s=needs_s - has_s * MARGIN_RATIO,
            )

    def rows_in_time(self, line: Line[T], now: float) -> int:
        """How many rows a batch may have for the first of its line to be answered in time.

        The most, where that would be less than a third of them: then the first is late, because with small
        batches everybody would be.
        """
        soonest = min([head[0] for order in line.order.values() if (head := order.first())])
        rows = planned = min(line.rows, self._most)
        while rows > _LEAST_RATIO * planned:
            if (line.latency.usual_s(now, rows) or 0.0) <= soonest - now:
                return rows
            rows = rows * 3 // 4
        return self._most

    def _is_trial(self, now: float) -> bool:
        is_idle = not self._lines and not self._slots.in_flight
        return is_idle and now - self.answered_at >= _TRIAL_S

    def _free_in_s(self, now: float, flights: Iterable[Batch[T]]) -> float:
        """When a slot is likely to be free, in seconds from `now`."""
        oldest = next(iter(flights), None)
        if oldest is None or self._slots.has_room:
            return 0.0
        usual_s = oldest.latency.usual_s(now, oldest.rows) or 0.0
        return max(0.0, oldest.left_at + usual_s - now)
