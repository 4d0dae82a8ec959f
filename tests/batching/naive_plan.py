"""The plan's specification as a list that is searched from end to end, with no thought of speed."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.batching import BatchLimits


@dataclass(frozen=True)
class Waiting:
    """A queued request as the model sees it; `group` names those it may share a batch with."""

    id: int
    rows: int
    arrived: float
    deadline: float
    group: object
    is_closed: bool

    @property
    def weight(self) -> int:
        return max(self.rows, 1)


@dataclass
class NaivePlan:
    """What is queued, in the order of the arm."""

    limits: BatchLimits
    queue: list[Waiting]
    delay_s: float
    in_flight: int = 0

    def ready(self, now: float, reserve_s: float) -> tuple[list[Waiting], str] | None:
        """What `take` should return, if nothing that is queued were to expire before."""
        queue = [w for w in self.queue if w.deadline > now]
        if not queue or self.in_flight >= self.limits.max_in_flight:
            return None
        oldest = queue[0]
        full = [w for w in queue if self._is_full(w.group, queue)]
        at_risk = [w for w in queue if w.deadline - reserve_s <= now]
        if oldest in full:
            return self._prefix(oldest.group, queue), "full"
        if not self.delay_s:
            return self._prefix(oldest.group, queue), "slot_free"
        if oldest.arrived + self.delay_s <= now:
            return self._prefix(oldest.group, queue), "delay"
        if at_risk:
            nearest = min(at_risk, key=lambda w: (w.deadline, w.id))
            return self._prefix(nearest.group, queue), "deadline"
        return (self._prefix(full[0].group, queue), "full") if full else None

    def _is_full(self, group: object, queue: list[Waiting]) -> bool:
        line = [w for w in queue if w.group == group]
        return line[0].is_closed or sum(w.rows for w in line) >= self.limits.max_batch_rows

    def _prefix(self, group: object, queue: list[Waiting]) -> list[Waiting]:
        batch: list[Waiting] = []
        for waiting in queue:
            if waiting.group != group:
                continue
            if batch and sum(w.rows for w in [*batch, waiting]) > self.limits.max_batch_rows:
                break
            batch.append(waiting)
        return batch
