"""What is known of one request that waits, of the line it waits in, and of the batch it leaves in?"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, Literal, TypeAlias, TypeVar

from gateway.batching.heap import LazyHeap
from gateway.batching.key import BatchKey
from gateway.batching.latency import Latency

T = TypeVar("T")

Departure: TypeAlias = Literal["full", "slot_free", "delay", "deadline"]

HIGH, NORMAL, LOW = 1, 2, 3
"""The priority classes."""

HIGHEST_FIRST = (HIGH, NORMAL, LOW)


@dataclass(slots=True, kw_only=True, eq=False)
class Entry(Generic[T]):
    """One request, or one piece of a request that was split.

    Attributes:
        id: Unique, and growing with arrival.
        key: Requests with different keys never share a batch.
        rows: At most `max_batch_rows`, or it leaves in a larger batch of its own.
        arrived: When it was offered, in seconds.
        deadline: When it expires, in seconds.
        slot: Whatever the shell keeps with it.
        priority: `HIGH`, `NORMAL` or `LOW`.
        line: The line it stands in while it is queued.
        batch: The batch that took it; None while it is queued.
        start_by: When its line should be served at the latest, in seconds.
        is_trial: Whether it was let through to learn how long batches take now.
        needed_s: How long it would have taken, in seconds, if it was ended because it had less.
    """

    id: int
    key: BatchKey
    rows: int
    arrived: float
    deadline: float
    slot: T
    priority: int = NORMAL
    line: Line[T] | None = None
    batch: Batch[T] | None = None
    start_by: float = 0.0
    is_trial: bool = False
    needed_s: float = 0.0

    @property
    def weight(self) -> int:
        """Rows that count against the queue's bound: a request without rows counts as one."""
        return self.rows or 1

    @property
    def travels_alone(self) -> bool:
        """Whether no other request may join it: it has no batch dimension, or no rows."""
        return not (self.rows and self.key.batchable)


@dataclass(slots=True, kw_only=True, eq=False)
class Line(Generic[T]):
    """Queued requests of one key. Nobody may join a `closed` one.

    Attributes:
        latency: How long batches of its kind lately took.
        closed: Whether nobody may join: its requests leave as they are.
        rows: Of all its requests; one without rows counts as one.
        entries: By id.
        order: Per priority the deadlines and ids, soonest first. What is on top is queued.
    """

    latency: Latency = field(default_factory=Latency)
    closed: bool = False
    rows: int = 0
    entries: dict[int, Entry[T]] = field(default_factory=dict)
    order: dict[int, LazyHeap[tuple[float, int]]] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True, eq=False)
class Batch(Generic[T]):
    """Requests that leave together.

    Attributes:
        entries: By priority and deadline; those that were cancelled or expired since stay in it.
        departure: `full` if nothing else could have joined, `slot_free` if a free slot was all it
            waited for, `delay` after `max_delay_s`, `deadline` if waiting longer was a risk.
        left_at: When it was taken, in seconds.
        rows: Of all its requests when it was taken.
        latency: Learns how long it took.
        waiting: How many of its requests were neither cancelled nor expired.
    """

    key: BatchKey
    entries: list[Entry[T]]
    departure: Departure
    left_at: float
    rows: int
    latency: Latency
    waiting: int
