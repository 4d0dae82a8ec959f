"""What does a simulated caller send, and how did it end for it?"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from gateway.batching.entry import NORMAL, Entry
from gateway.batching.key import BatchKey

__all__ = ["ONE_KEY", "Arrival", "Ended", "Outcome", "Request"]

ONE_KEY = BatchKey(None, "", (), (), (), batchable=True)

Outcome: TypeAlias = Literal["answered", "failed", "expired", "left", "refused"]
"""How a request ends. `refused` ones were never accepted, each other was. One that was given up because it
could not be answered in time any more is `expired` too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One request, before anything has happened to it. Moments are in virtual seconds.

    Attributes:
        at: When it is offered.
        rows: More than a batch holds are offered in pieces.
        deadline: When it expires; infinite for never.
        key: Requests of different keys share no batch.
        priority: `HIGH`, `NORMAL` or `LOW` of `batching.entry`.
        leaves_at: When its caller goes away, whether it has been answered or not.
        is_poison: Whether the backend refuses every batch that it is in.
    """

    at: float
    rows: int = 1
    deadline: float = math.inf
    key: BatchKey = ONE_KEY
    priority: int = NORMAL
    leaves_at: float = math.inf
    is_poison: bool = False


@dataclass(slots=True, eq=False)
class Request:
    """One request under way.

    Attributes:
        waiting: Its pieces that have not ended, by id.
        left_at: When the last of its batches that left so far did.
        outcome: None until it has ended.
    """

    arrival: Arrival
    waiting: dict[int, Entry[Request]] = field(default_factory=dict)
    left_at: float = math.nan
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What became of a request.

    Attributes:
        at: When it ended.
        left_at: When its last batch left the queue; NaN if none did.
    """

    arrival: Arrival
    outcome: Outcome
    at: float
    left_at: float

    @property
    def latency_s(self) -> float:
        """From its arrival until its end."""
        return self.at - self.arrival.at
