"""Can a request still be answered in time?

Pure. The prediction is: when a slot frees, then the batches ahead of it one after another in all slots, or as other processes
leave us turns, then its own with all that will be in it by then, each by what batches of its kind usually take of late; a fifth
of the time that a request has is kept in hand where it has to wait, because who joins its batch later makes that slower. A kind
of which nothing is known is taken to be like the latest batches of all kinds. Where these are not known nothing is refused, and
of a kind of which nothing was heard for a second one request is let through, to find out whether what is known still holds: a
model that was slow once might else be refused every request, and so never be seen to be fast again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Generic, TypeVar

from gateway.batching.entry import Batch, Entry, Line
from gateway.batching.heap import LazyHeap
from gateway.batching.latency import Latency, Latest
from gateway.batching.limits import Slots
from gateway.batching.lines import Lines
from gateway.errors import DeadlineTooNear, WouldBeLate

__all__ = ["MARGIN_RATIO", "Admission"]

T = TypeVar("T")

_LEAST_RATIO = 0.3
_NEXT_RATIO = 7 / 8
_TRIAL_S = 1.0
_TRIAL_BATCHES = 10
MARGIN_RATIO = 0.8  # what is predicted is a median: half take longer


class Admission(Generic[T]):
    """Who would be late.

    Args:
        lines: What is queued.
        slots: The places at the backend.
        most: Rows in one batch.

    Attributes:
        latest: What to go by for kinds of which nothing is known.
    """

    def __init__(self, lines: Lines[T], slots: Slots, most: int) -> None:
        self._lines = lines
        self._slots = slots
        self._most = most
        self.latest = Latest()
        self._tried_at = -math.inf

    def check(self, entry: Entry[T], rows: int, flights: Iterable[Batch[T]]) -> None:
        """Refuse a request that cannot be answered in time, or mark it as a trial.

        Args:
            entry: The request, or its first piece.
            rows: Of all of it.
            flights: The batches at the backend, the oldest first.

        Raises:
            DeadlineTooNear: its own batch takes longer than it has.
            WouldBeLate: with what is ahead of it, it would take longer than it has.
        """
        now, most, has_s = entry.arrived, self._most, entry.deadline - entry.arrived
        latency = self._lines.latency_of(entry.key)
        alone_s = latency.usual_s(now, min(rows, most))
        if alone_s is None and self.latest.usual_s(now) is None:
            return
        ahead, before_s, own_rows = self._before(entry, rows, latency)
        waits_s = self._free_in_s(now, flights) + before_s
        # A new kind may be faster than all others: for its own time alone it is not refused.
        is_guess = alone_s is None and not waits_s
        needs_s = waits_s + (0.0 if is_guess else self._usual_s(latency, now, own_rows))
        if max(needs_s / (MARGIN_RATIO if waits_s else 1.0), alone_s or 0.0) <= has_s:
            return
        if self._is_trial(latency, now, is_known=alone_s is not None):
            entry.is_trial = True
            return
        if alone_s is not None and alone_s > has_s:
            raise DeadlineTooNear(
                f"the deadline is in {has_s:.3f} s, and a batch of {min(rows, most)} rows lately took {alone_s:.3f} s"
            )
        raise WouldBeLate(
            f"the deadline is in {has_s:.3f} s, and the answer would come in about {needs_s:.3f} s:"
            f" {ahead:.0f} rows go before it, and {self._slots.in_flight} batches are at the backend",
            retry_after_s=needs_s - has_s * MARGIN_RATIO,
        )

    def _is_trial(self, latency: Latency, now: float, *, is_known: bool) -> bool:
        """Whether to let a request through that would be refused, to learn."""
        if is_known:
            is_due = now - latency.heard_at >= _TRIAL_S
            latency.heard_at = now if is_due else latency.heard_at
            return is_due
        # Of each new kind one would be as good as all of them, where there are many.
        pause_s = _TRIAL_S + _TRIAL_BATCHES * (self.latest.usual_s(now) or 0.0)
        is_due = now - self._tried_at >= pause_s
        self._tried_at = now if is_due else self._tried_at
        return is_due

    def _usual_s(self, latency: Latency, now: float, rows: int) -> float:
        """What such batches usually take, in seconds, by all kinds where it is not known of theirs."""
        known_s = latency.usual_s(now, rows)
        return (self.latest.usual_s(now) or 0.0) if known_s is None else known_s

    def _before(self, entry: Entry[T], rows: int, latency: Latency) -> tuple[float, float, int]:
        """What goes before a request: its rows, the seconds that it takes, and how large its own batch will be."""
        now, most, slots = entry.arrived, self._most, max(self._slots.max_in_flight, 1)
        ahead_all = busy_s = own_ahead = batches = 0.0
        lines = self._lines.some()
        goes_by = self._lines.goes_by(entry, rows)
        for line in lines:
            is_own = line.latency is latency and not line.closed and not entry.travels_alone
            ahead = _rows_before(line, entry.priority, entry.deadline if is_own else goes_by)
            ahead_all += ahead
            if is_own:
                own_ahead = ahead
            elif ahead:
                needed = 1 if line.closed else math.ceil(ahead / most)
                batches += needed
                busy_s += needed * self._usual_s(line.latency, now, int(ahead))
        unseen_ratio = len(self._lines.standing) / max(len(lines), 1)
        full = 0 if entry.travels_alone else (own_ahead + rows - 1) // most
        busy_s = busy_s * unseen_ratio + full * self._usual_s(latency, now, most)
        turns_s = (batches * unseen_ratio + full) * self._slots.pace_s
        return ahead_all, max(busy_s / slots, turns_s), int(min(own_ahead + rows, most))

    def needed_s(self, line: Line[T], now: float) -> float:
        """How long the next batch of a line usually takes, in seconds; 0 where the line has time, or can be made to.

        It can where few have too little, and a smaller batch would answer these in time. Where many have, small
        batches would in the end make everybody late.
        """
        planned = min(line.rows, self._most)
        needed_s = line.latency.usual_s(now, planned) or 0.0
        late_rows = sum([_rows_until(line, o, now + needed_s) for o in line.order.values()])
        if late_rows <= _LEAST_RATIO * planned and self.rows_in_time(line, now) < planned:
            return 0.0
        return needed_s

    def rows_in_time(self, line: Line[T], now: float) -> int:
        """How many rows a batch may have for the first of its line to be answered in time.

        The most, where that would be less than a third of them: then the first is late, because with small
        batches everybody would be.
        """
        soonest = min([head[0] for order in line.order.values() if (head := order.first())])
        rows = planned = min(line.rows, self._most)
        while rows > _LEAST_RATIO * planned:
            if (line.latency.usual_s(now, rows) or 0.0) <= MARGIN_RATIO * (soonest - now):
                return rows
            rows = int(rows * _NEXT_RATIO)
        return self._most

    def _free_in_s(self, now: float, flights: Iterable[Batch[T]]) -> float:
        """When a slot is likely to be free for us, in seconds from `now`."""
        turn_in_s = self._slots.turn_in_s(now)
        oldest = next(iter(flights), None)
        if oldest is None or self._slots.has_room:
            return turn_in_s
        usual_s = self._usual_s(oldest.latency, now, oldest.rows)
        return max(turn_in_s, oldest.left_at + usual_s - now)


def _rows_before(line: Line[T], own: int, deadline: float) -> float:
    """About how many rows of a line would go before a request of that priority and deadline."""
    rows = 0.0
    for priority, order in line.order.items():
        if priority <= own:
            rows += _rows_until(line, order, deadline if priority == own else math.inf)
    return rows


def _rows_until(line: Line[T], order: LazyHeap[tuple[float, int]], deadline: float) -> float:
    """About how many rows of one priority have a deadline that is not later."""
    sample = order.sample()
    rows = [e.rows or 1 for at, i in sample if at <= deadline and (e := line.entries.get(i))]
    return sum(rows) * len(order) / len(sample) if sample else 0.0
