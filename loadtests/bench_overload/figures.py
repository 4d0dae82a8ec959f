"""What came of the requests of a run? Pure; every latency counts from when a request was due."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from loadtests.open_loop import Offered
from loadtests.open_loop.arrivals import Times

__all__ = ["Outcome", "outcome", "recovery_s"]

OK = 200
REFUSED = (429, 503)
GAVE_UP = (408, 504)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of the requests that were due in a stretch of time; the parts add up to what was offered.

    Attributes:
        offered_per_s: Requests that were due.
        good_per_s: Answered with 200 before their deadline: goodput.
        late_per_s: Answered with 200 after it; computed in vain.
        refused_per_s: Refused with 429 or 503: shed.
        gave_up_per_s: 504, mosec's 408: taken, and not answered in time; or refused as it could not be.
        failed_per_s: Answered otherwise, or not at all.
        p50_ms, p99_ms: Of all 200s, late or not; None where there is none.
        refused_p99_ms: How long a refusal took; None where there is none.
    """

    offered_per_s: float
    good_per_s: float
    late_per_s: float
    refused_per_s: float
    gave_up_per_s: float
    failed_per_s: float
    p50_ms: float | None
    p99_ms: float | None
    refused_p99_ms: float | None


def outcome(offered: Offered, deadline_s: float, *, since_s: float, until_s: float) -> Outcome:
    """The figures of what was due from `since_s` to `until_s`."""
    counted = (offered.due_s >= since_s) & (offered.due_s < until_s)
    status = _status(offered)
    took_s = offered.answered_s - offered.due_s
    ok = counted & (status == OK)
    refused = counted & np.isin(status, REFUSED)
    gave_up = counted & np.isin(status, GAVE_UP)

    def per_s(which: np.ndarray) -> float:
        return int(which.sum()) / (until_s - since_s)

    return Outcome(
        offered_per_s=per_s(counted),
        good_per_s=per_s(ok & (took_s <= deadline_s)),
        late_per_s=per_s(ok & (took_s > deadline_s)),
        refused_per_s=per_s(refused),
        gave_up_per_s=per_s(gave_up),
        failed_per_s=per_s(counted & ~ok & ~refused & ~gave_up),
        p50_ms=_percentile_ms(took_s[ok], 50),
        p99_ms=_percentile_ms(took_s[ok], 99),
        refused_p99_ms=_percentile_ms(took_s[refused], 99),
    )


def recovery_s(
    offered: Offered,
    deadline_s: float,
    *,
    since_s: float,
    until_s: float,
    window_s: float = 0.5,
    enough: float = 0.95,
) -> float | None:
    """How long after `since_s`, when the overload ended, answers are in time again, and stay so; seconds.

    That is the end of the last window of `window_s` in which fewer than `enough` of the requests that were due
    had an answer in time; 0 if there is none, None if it is the last window before `until_s`.
    """
    good = (_status(offered) == OK) & (offered.answered_s - offered.due_s <= deadline_s)
    windows = max(int((until_s - since_s) / window_s), 1)
    last_bad = 0
    for window in range(windows):
        begin = since_s + window * window_s
        due = (offered.due_s >= begin) & (offered.due_s < begin + window_s)
        if due.any() and good[due].mean() < enough:
            last_bad = window + 1
    return None if last_bad == windows else last_bad * window_s


def _status(offered: Offered) -> np.ndarray:
    return np.array([0 if answer is None else answer.status for answer in offered.answers], int)


def _percentile_ms(took_s: Times, q: float) -> float | None:
    if not len(took_s):
        return None
    return float(np.percentile(took_s, q, method="inverted_cdf")) * 1e3
