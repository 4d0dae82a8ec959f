"""What do many requests that have ended say together?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from gateway.simulation.requests import Ended

__all__ = ["latencies_s", "percentile"]


def latencies_s(ended: Iterable[Ended], *, from_s: float = 0.0) -> list[float]:
    """Seconds from arrival to answer of those who arrived at `from_s` or later, ascending."""
    return sorted(
        end.latency_s for end in ended if end.outcome == "answered" and end.arrival.at >= from_s
    )


def percentile(ascending: Sequence[float], percent: float) -> float:
    """The smallest value that at least `percent` of them do not exceed; NaN of none."""
    if not ascending:
        return math.nan
    return ascending[max(0, math.ceil(len(ascending) * percent / 100) - 1)]
