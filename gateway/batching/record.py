"""What is told of a batch that has ended, and of a queue as it stands?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from gateway.batching.entry import Departure


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRecord:
    """One backend call, or a batch that was given up before it was sent.

    Attributes:
        rows: Rows sent; 0 if it was not.
        requests: Requests in it; a piece of a request that was split counts as one.
        departure: Why it left the queue when it did.
        queue_s: Per request, seconds from its arrival until the batch left the queue.
        backend_s: Seconds from sending until the answer, the error or the cancellation; 0 if it was
            not sent.
        outcome: `ok`, or the `reason` of the error that its requests got; `caller_left` or `deadline`
            for a batch that was cancelled because its last request left or expired.
        was_sent: Whether the backend was called.
        halved: Whether the backend refused it and it was queued again as two halves, so that its
            requests did not get that error.
        positions: Places along the sequence axis that its requests have, over all rows sent; 0 for a model
            that declares no sequence.
        padding: Places that were added to make its requests equally long.
        bug: An exception outside `gateway.errors`, to be logged with its traceback.
    """

    rows: int
    requests: int
    departure: Departure
    queue_s: tuple[float, ...]
    backend_s: float
    outcome: str
    was_sent: bool = True
    halved: bool = False
    positions: int = 0
    padding: int = 0
    bug: Exception | None = None


BatchObserver: TypeAlias = Callable[[BatchRecord], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStatistics:
    """A queue as it stands, and what has become of all it accepted.

    `accepted` is at any moment the sum of `answered`, `failed`, `expired`, `left` and those who wait,
    queued or in flight. A piece of a request that was split counts as a request.
    """

    queued_requests: int
    queued_rows: int
    in_flight: int
    accepted: int
    answered: int
    failed: int
    expired: int
    left: int
