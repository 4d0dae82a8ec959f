"""What came of an open-loop run, and was the generator fast enough for it to mean anything?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from loadtests.open_loop.arrivals import Times

__all__ = ["Answer", "Offered", "Summary"]

OK = 200
LATE_MS = 1.0  # at the 99th percentile; or a tenth of the latency there, if that is more
LATE_RATIO = 0.1


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The figures of a run without its beginning. Latencies count from the intended send time.

    Attributes:
        offered_per_s: Requests that were due.
        answered_per_s: Those of them that were answered with 200.
        errors: Those answered otherwise.
        unanswered: Those without an answer when the grace was over.
        p50_ms, p90_ms, p99_ms: Of the 200s and the unanswered, which count as slower than all; None if
            that percentile is one of them, or nothing was sent.
        late_p99_ms: How long after its time the generator came to a request.
        busy_ratio: The generator's processor time over the time that it ran.
        valid: Whether the generator was on time.
    """

    offered_per_s: float
    answered_per_s: float
    errors: int
    unanswered: int
    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None
    late_p99_ms: float
    busy_ratio: float
    valid: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Offered:
    """Every request of a run, in the order in which they were due.

    Attributes:
        due_s, reached_s, answered_s: `[requests]`, seconds from the start: when it should have been sent, when the
            generator came to it, and when its answer had arrived (NaN for none). A request that found no
            connection free was sent later than it was reached.
        answers: `[requests]`.
        seconds: Over which requests were due.
        busy_ratio: The generator's processor time over the time that it ran.
    """

    due_s: Times
    reached_s: Times
    answered_s: Times
    answers: Sequence[Answer | None]
    seconds: float
    busy_ratio: float

    def summary(self, *, warm_s: float = 0.0) -> Summary:
        """The figures, without the requests that were due in the first `warm_s` seconds."""
        counted = self.due_s >= warm_s
        status = np.array([0 if answer is None else answer.status for answer in self.answers])
        good, none = counted & (status == OK), counted & (status == 0)
        latencies_ms = np.concatenate(
            [(self.answered_s - self.due_s)[good] * 1e3, np.full(int(none.sum()), math.inf)]
        )
        p50, p90, p99 = (_percentile(latencies_ms, q) for q in (50, 90, 99))
        late_ms = _percentile((self.reached_s - self.due_s)[counted] * 1e3, 99) or 0.0
        span_s = max(self.seconds - warm_s, 1e-9)
        return Summary(
            offered_per_s=int(counted.sum()) / span_s,
            answered_per_s=int(good.sum()) / span_s,
            errors=int((counted & (status != OK) & (status != 0)).sum()),
            unanswered=int(none.sum()),
            p50_ms=p50,
            p90_ms=p90,
            p99_ms=p99,
            late_p99_ms=late_ms,
            busy_ratio=self.busy_ratio,
            valid=late_ms <= max(LATE_MS, LATE_RATIO * (math.inf if p99 is None else p99)),
        )


def _percentile(values: Times, q: float) -> float | None:
    """The smallest value that at least `q` percent do not exceed; None if that is infinite."""
    if not len(values):
        return None
    found = float(np.percentile(values, q, method="inverted_cdf"))
    return found if math.isfinite(found) else None
