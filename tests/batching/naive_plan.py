"""The plan's specification as a list that is searched from end to end, with no thought of speed.

What the plan has learned (how long batches take, how many rows come after an answer) is asked of it; that has
tests of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.batching import BatchKey, BatchLimits
from gateway.batching.entry import HIGH, LOW, NORMAL, Line
from gateway.batching.lines import line_of
from gateway.batching.plan import Plan

_TURNS = 8


@dataclass(frozen=True)
class Waiting:
    """A queued request as the model sees it; `group` names those it may share a batch with."""

    id: int
    key: BatchKey
    rows: int
    deadline: float
    priority: int
    group: object
    is_closed: bool

    @property
    def weight(self) -> int:
        return max(self.rows, 1)


@dataclass
class Taken:
    """What `take` should do: whom it ends because they are late, and what leaves, if anything."""

    late: list[Waiting]
    batch: list[Waiting]
    departure: str = ""


class NaivePlan:
    """What is queued."""

    def __init__(self, limits: BatchLimits, plan: Plan[str]) -> None:
        self.limits = limits
        self.plan = plan
        self.queue: list[Waiting] = []
        self.in_flight = 0
        self.turn = 0
        self.led = [LOW, NORMAL, HIGH]  # the longest ago first
        self.has_waited = False

    def take(self, now: float, others: list[Waiting]) -> Taken:
        """What `take` should do; `others` are those in flight."""
        queue = [w for w in self.queue if w.deadline > now]
        others = [w for w in others if w.deadline > now]
        taken = Taken([], [])
        if self.in_flight >= self.limits.max_in_flight:
            return taken
        while queue:
            line = self._first_line(queue)
            gone = self._late(line, now, [*queue, *others])
            if not gone:
                soonest = min(w.deadline for w in [*queue, *others])
                taken.departure = self._departure(line, queue, now, soonest)
                most = self._most(line, now, soonest)
                taken.batch = self._prefix(line, most) if taken.departure else []
                return taken
            taken.late += gone
            queue = [w for w in queue if w not in gone]
        return taken

    def _order(self, waiting: Waiting) -> tuple[int, float, int]:
        order = self.led if self.turn % _TURNS == _TURNS - 1 else [HIGH, NORMAL, LOW]
        return order.index(waiting.priority), waiting.deadline, waiting.id

    def note(self, batch: list[Waiting]) -> None:
        """A batch left."""
        self.turn += 1
        self.led = [p for p in self.led if p != batch[0].priority] + [batch[0].priority]

    def _first_line(self, queue: list[Waiting]) -> list[Waiting]:
        first = min(self._heads(queue), key=self._urgency)
        return sorted([w for w in queue if w.group == first.group], key=self._order)

    def _heads(self, queue: list[Waiting]) -> list[Waiting]:
        lines: dict[object, Waiting] = {}
        for waiting in sorted(queue, key=self._order):
            lines.setdefault((waiting.group, waiting.priority), waiting)
        return list(lines.values())

    def _urgency(self, head: Waiting) -> tuple[int, float, int]:
        start_by = self.plan._lines._queued[head.id].start_by
        return self._order(head)[0], start_by, head.id

    def _late(self, line: list[Waiting], now: float, known: list[Waiting]) -> list[Waiting]:
        if min(w.deadline for w in known) - now > self.plan.slots.slowest_s:
            return []
        needed_s = self.plan._admission.needed_s(self._line_of(line[0]), now)
        if not needed_s:
            return []
        late = [w for w in line if w.deadline < now + needed_s]
        return sorted(late, key=lambda w: (w.deadline, w.id))

    def _line_of(self, waiting: Waiting) -> Line[str]:
        return line_of(self.plan._lines._queued[waiting.id])

    def _departure(
        self, line: list[Waiting], queue: list[Waiting], now: float, soonest: float
    ) -> str:
        patience = self.plan.patience
        if line[0].is_closed or sum(w.rows for w in line) >= self.limits.max_batch_rows:
            return "full"
        waits = len(line) == len(queue) and patience.pays(len(queue))
        if not (patience.max_delay_s and waits):
            return "slot_free"
        if now >= patience.until:
            return "delay" if self.has_waited else "slot_free"
        return "deadline" if soonest - self.plan.slots.reserve_s <= now else ""

    def _most(self, line: list[Waiting], now: float, soonest: float) -> int:
        if soonest - now > self.plan.slots.slowest_s:
            return self.limits.max_batch_rows
        return self.plan._admission.rows_in_time(self._line_of(line[0]), now)

    def _prefix(self, line: list[Waiting], most: int) -> list[Waiting]:
        if sum(w.weight for w in line) <= most:
            return line
        batch: list[Waiting] = []
        for waiting in line:
            if batch and sum(w.rows for w in [*batch, waiting]) > most:
                break
            batch.append(waiting)
        return batch
