"""A plan with entries offered by hand, for tests that say exactly who comes when."""

from __future__ import annotations

from gateway.batching import BatchKey, BatchLimits
from gateway.batching.entry import NORMAL, Batch, Entry
from gateway.batching.plan import Plan


class Desk:
    """A plan, and entries numbered in order of arrival."""

    def __init__(self, limits: BatchLimits) -> None:
        self.plan: Plan[None] = Plan(limits)
        self.offered = 0

    def entry(
        self,
        rows: int = 1,
        *,
        key: str = "a",
        at: float = 0.0,
        deadline: float = 1000.0,
        priority: int = NORMAL,
    ) -> Entry[None]:
        entry = Entry(
            id=self.offered,
            key=BatchKey(key, "", (), (), (), batchable=key != "alone"),
            rows=rows,
            arrived=at,
            deadline=deadline,
            slot=None,
            priority=priority,
        )
        self.offered += 1
        return entry

    def offer(
        self,
        rows: int = 1,
        *,
        key: str = "a",
        at: float = 0.0,
        deadline: float = 1000.0,
        priority: int = NORMAL,
    ) -> int:
        entry = self.entry(rows, key=key, at=at, deadline=deadline, priority=priority)
        self.plan.offer(entry)
        return entry.id

    def take(self, now: float = 0.0) -> list[int]:
        batch = self.plan.take(now)
        return [] if batch is None else ids(batch)

    def learn(self, backend_s: float, rows: int = 1, *, now: float = 0.0) -> None:
        """Let batches be answered until `now`, so that the plan knows how long such ones take."""
        for _ in range(3):
            self.offer(rows, at=now)
            self.plan.finish(taken(self.plan.take(now)), backend_s, now)

    def expect(self, rows: int) -> None:
        """Let so many rows have come after every answer lately, in a gateway that is short of time."""
        self.plan.patience.expected = rows
        self.plan.patience.is_pressed = True


def ids(batch: Batch[None]) -> list[int]:
    return [entry.id for entry in batch.entries]


def taken(batch: Batch[None] | None) -> Batch[None]:
    assert batch is not None
    return batch
