"""A plan with entries offered by hand, for tests that say exactly who comes when."""

from __future__ import annotations

from gateway.batching import BatchKey, BatchLimits
from gateway.batching.entry import Batch, Entry
from gateway.batching.plan import Plan


class Desk:
    """A plan, and entries numbered in order of arrival."""

    def __init__(self, limits: BatchLimits) -> None:
        self.plan: Plan[None] = Plan(limits)
        self.offered = 0

    def entry(
        self, rows: int = 1, *, key: str = "a", at: float = 0.0, deadline: float = 1000.0
    ) -> Entry[None]:
        entry = Entry(
            id=self.offered,
            key=BatchKey(key, "", (), (), (), batchable=key != "alone"),
            rows=rows,
            arrived=at,
            deadline=deadline,
            slot=None,
        )
        self.offered += 1
        return entry

    def offer(
        self, rows: int = 1, *, key: str = "a", at: float = 0.0, deadline: float = 1000.0
    ) -> int:
        entry = self.entry(rows, key=key, at=at, deadline=deadline)
        self.plan.offer(entry)
        return entry.id

    def take(self, now: float = 0.0) -> list[int]:
        batch = self.plan.take(now)
        return [] if batch is None else ids(batch)

    def learn(self, backend_s: float) -> None:
        """Let one batch be answered, so that the plan knows how long batches take."""
        self.offer()
        self.plan.finish(taken(self.plan.take(0.0)), backend_s)


def ids(batch: Batch[None]) -> list[int]:
    return [entry.id for entry in batch.entries]


def taken(batch: Batch[None] | None) -> Batch[None]:
    assert batch is not None
    return batch
