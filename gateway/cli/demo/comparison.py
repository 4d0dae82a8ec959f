"""How do the arms compare, by what was sent and what came back? Pure: lists of requests in, figures out.

Rules:
- A comparison of times is a ratio per block, since both arms shared the block, and the interval says how
  the ratios of all blocks scatter. Single requests are not independent, blocks nearly are.
- A request that failed counts for the arm that its user belongs to.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, stdev

import numpy as np
import numpy.typing as npt

from gateway.cli.demo.traffic import Sent

__all__ = [
    "Agreement",
    "ArmFigures",
    "Numbers",
    "Ratio",
    "SplitFigures",
    "agreement",
    "arm_figures",
    "quantile",
    "ratio",
    "split_figures",
]

Numbers = npt.NDArray[np.float64]

_CONFIDENCE = 0.975  # two-sided 95 %
_MIN_BLOCKS = 6
_MIN_REQUESTS = 3  # of each arm in a block, for the block to say anything


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmFigures:
    """What one arm did under the split. Times are seconds; None where nothing was answered.

    Attributes:
        batches: That the backend was sent for these requests.
        p50_s, p95_s, p99_s: Totals, as the client saw them.
        queue_s, backend_s: Medians, as the gateway explained them.
        accuracy: Share of the whole test set that this arm got right.
    """

    arm: str
    requests: int
    rows: int
    batches: int
    errors: int
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None
    queue_s: float | None
    backend_s: float | None
    accuracy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """One arm's time as a multiple of another's, with a 95 % interval over blocks."""

    arm: str
    baseline: str
    estimate: float
    low: float
    high: float
    blocks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Whether two sets of answers to the same rows are the same.

    Attributes:
        same: Rows with the same decision.
        max_abs: The largest difference of any number.
        outside: Rows with a number further apart than the tolerance.
    """

    rows: int
    same: int
    max_abs: float
    outside: int

    @property
    def holds(self) -> bool:
        """Whether every decision is the same and every number is close."""
        return self.same == self.rows and self.outside == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitFigures:
    """Who got which arm.

    Attributes:
        expected: Each arm's share by the configured weights.
        users, requests: How many got each arm.
        moved: Users who got more than one arm.
        misplaced: Users whose arm is not the one that hashing gives them.
        surprise: How many standard errors the users' shares are from the expected ones, at the most.
    """

    expected: Mapping[str, float]
    users: Mapping[str, int]
    requests: Mapping[str, int]
    moved: tuple[str, ...]
    misplaced: tuple[str, ...]
    surprise: float


def arm_figures(
    arm: str, sent: Sequence[Sent], *, failed: Sequence[Sent], batches: int, accuracy: float
) -> ArmFigures:
    """The figures of one arm, from the requests that it answered and those that failed on it."""
    totals = [one.total_s for one in sent]
    return ArmFigures(
        arm=arm,
        requests=len(sent),
        rows=sum(len(one.rows) for one in sent),
        batches=batches,
        errors=len(failed),
        p50_s=quantile(totals, 0.5),
        p95_s=quantile(totals, 0.95),
        p99_s=quantile(totals, 0.99),
        queue_s=quantile([one.queue_s for one in sent], 0.5),
        backend_s=quantile([one.backend_s for one in sent], 0.5),
        accuracy=accuracy,
    )


def quantile(values: Sequence[float], q: float) -> float | None:
    """The smallest value that at least a share `q` of the values does not exceed; None of none."""
    if not values:
        return None
    return float(np.quantile(np.asarray(values), q, method="inverted_cdf"))


def ratio(sent: Sequence[Sent], arm: str, baseline: str, *, q: float) -> Ratio | None:
    """The ratio of the arms' quantiles `q` of the total time, arm ÷ baseline.

    The estimate is the geometric mean over the blocks in which both answered at least three requests; the
    interval is Student's, on the logarithms. None with fewer than six such blocks.
    """
    logs = []
    for block in sorted({one.block for one in sent}):
        times = [
            [one.total_s for one in sent if one.block == block and one.arm == name]
            for name in (arm, baseline)
        ]
        if all(len(found) >= _MIN_REQUESTS for found in times):
            ours, theirs = (quantile(found, q) or math.nan for found in times)
            logs.append(math.log(ours / theirs))
    if len(logs) < _MIN_BLOCKS:
        return None
    mean = fmean(logs)
    margin = student_quantile(len(logs) - 1) * stdev(logs) / math.sqrt(len(logs))
    return Ratio(
        arm=arm,
        baseline=baseline,
        estimate=math.exp(mean),
        low=math.exp(mean - margin),
        high=math.exp(mean + margin),
        blocks=len(logs),
    )


def student_quantile(freedom: int) -> float:
    """The 97.5 % quantile of Student's t, by Cornish and Fisher's expansion; within 0.2 % from 5 on."""
    z = NormalDist().inv_cdf(_CONFIDENCE)
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return math.fsum(term / freedom**power for power, term in enumerate(terms))


def agreement(
    ours: Numbers,
    theirs: Numbers,
    *,
    decide: Callable[[Numbers], npt.NDArray[np.int64]],
    atol: float,
    rtol: float,
) -> Agreement:
    """Compare two `[rows, …]` arrays of answers, and the decisions that a caller makes of them.

    Not-a-number equals only itself; close is |a − b| ≤ atol + rtol · max(|a|, |b|).
    """
    rows = len(ours)
    with np.errstate(invalid="ignore"):
        apart = np.abs(ours - theirs)
        allowed = atol + rtol * np.maximum(np.abs(ours), np.abs(theirs))
        close = (apart <= allowed) | (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
    outside = ~close.reshape(rows, -1).all(axis=1)
    finite = apart[np.isfinite(apart)]
    return Agreement(
        rows=rows,
        same=int((decide(ours) == decide(theirs)).sum()),
        max_abs=float(finite.max()) if finite.size else 0.0,
        outside=int(outside.sum()),
    )


def split_figures(
    sent: Sequence[Sent], *, weights: Mapping[str, float], arm_of: Callable[[str], str]
) -> SplitFigures:
    """Who got which arm, and whether that is what the weights and the hash promise.

    Args:
        sent: The answered requests.
        weights: The configured weights.
        arm_of: The arm that hashing gives to a unit.
    """
    got: dict[str, set[str]] = {}
    for one in sent:
        got.setdefault(one.unit, set()).add(one.arm)
    total = sum(weights.values())
    expected = {arm: weight / total for arm, weight in weights.items()}
    users = {arm: sum(arms == {arm} for arms in got.values()) for arm in weights}
    return SplitFigures(
        expected=expected,
        users=users,
        requests={arm: sum(one.arm == arm for one in sent) for arm in weights},
        moved=tuple(sorted(unit for unit, arms in got.items() if len(arms) > 1)),
        misplaced=tuple(sorted(unit for unit, arms in got.items() if arm_of(unit) not in arms)),
        surprise=_surprise(users, expected, len(got)),
    )


def _surprise(users: Mapping[str, int], expected: Mapping[str, float], count: int) -> float:
    errors = {
        arm: math.sqrt(share * (1 - share) / count) for arm, share in expected.items() if count
    }
    return max(
        (
            abs(users[arm] / count - expected[arm]) / error
            for arm, error in errors.items()
            if error > 0
        ),
        default=0.0,
    )
