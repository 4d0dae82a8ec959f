"""What does one of several gateway processes share with the others?"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from fastapi import APIRouter

from gateway.batching.limits import Lease
from gateway.codecs.oip_statistics import ModelStatistics

__all__ = ["Siblings", "Statistics"]

Statistics = Callable[[], Awaitable[Sequence[ModelStatistics]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Siblings:
    """The processes that serve the same addresses together with this one.

    Attributes:
        statistics: Those of all of them together; raises NotReady where they cannot be had.
        routes: What is asked of this one for the sake of all, on its admin listener.
        lease_of: Its part in the slots of an arm, by model, arm and role.
    """

    statistics: Statistics
    routes: APIRouter
    lease_of: Callable[[tuple[str, str, str]], Lease | None]
