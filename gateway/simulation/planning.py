"""What would this backend do under this load? Rows per second, latencies, replicas, and the best limits.

Every figure comes from simulated runs of the plan that serves, `runs` of them with different seeds; a
figure is the middle of what they gave, and says how far they were apart. Candidates are compared on the
same arrivals.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from random import Random
from statistics import median

from gateway.batching.entry import Batch
from gateway.batching.limits import BatchLimits
from gateway.batching.plan import Plan
from gateway.simulation.arrivals import Mix, OpenLoop, poisson
from gateway.simulation.backend import Backend
from gateway.simulation.curve import LatencyCurve, noisy
from gateway.simulation.driver import Simulation
from gateway.simulation.requests import Arrival, Request
from gateway.simulation.summary import latencies_s, percentile

__all__ = [
    "Effort",
    "Load",
    "Prediction",
    "Range",
    "Served",
    "best_limits",
    "capacity_rows_per_s",
    "predict",
    "replicas_for",
]

_WARM_RATIO = 0.1
_FULL_BATCHES = 50
_MAX_TIMES_REPLICAS = 64
_SAME_RATIO = 1.05
_MAX_SEEDS = 1_000_003


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Poisson arrivals of requests like `mix`."""

    requests_per_s: float
    mix: Mix = field(default_factory=Mix)

    @property
    def rows_per_s(self) -> float:
        """Rows that arrive, on average."""
        return self.requests_per_s * self.mix.mean_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """Who computes.

    Attributes:
        curve: Seconds of a batch at one replica, from sending it to its answer.
        spread_ratio: Standard deviation of those over their mean.
        overhead_s: What a request takes besides waiting for its batch and the batch itself.
        replicas: All alike, and none in the way of another.
    """

    curve: LatencyCurve
    spread_ratio: float = 0.0
    overhead_s: float = 0.0
    replicas: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much is simulated: `runs` of `requests` each, with seeds from `seed` on."""

    runs: int = 5
    requests: int = 8000
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Range:
    """The middle of what several runs gave, and the ends."""

    middle: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Range:
        """Of at least one value."""
        return cls(median(values), min(values), max(values))


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What is to be expected.

    Attributes:
        capacity_rows_per_s: The most that is answered, when more than enough is queued.
        is_lasting: Whether less arrives than that. If not, the queue grows until it refuses, and there
            are no latencies.
        percentiles_s: Latency by percentile.
        used_ratio: Share of the time in which a replica computes.
        rows_per_batch: On average.
        refused_ratio: Share of requests for which the queue had no room.
        unmeasured_ratio: Share of batches whose size lies outside of what was measured.
    """

    limits: BatchLimits
    replicas: int
    capacity_rows_per_s: float
    is_lasting: bool
    percentiles_s: dict[float, Range] = field(default_factory=dict)
    used_ratio: float = 1.0
    rows_per_batch: float = math.nan
    refused_ratio: float = 0.0
    unmeasured_ratio: float = 0.0


@dataclass(frozen=True, slots=True)
class _Run:
    latencies_s: list[float]
    batches: list[int]
    refused_ratio: float
    used_ratio: float


def predict(
    served: Served,
    load: Load,
    limits: BatchLimits,
    *,
    percentiles: Sequence[float] = (50.0, 99.0),
    effort: Effort = Effort(),
) -> Prediction:
    """What the load meets at this backend with these limits."""
    capacity = capacity_rows_per_s(served, load.mix, limits)
    base = Prediction(
        limits=limits,
        replicas=served.replicas,
        capacity_rows_per_s=capacity,
        is_lasting=load.rows_per_s < capacity,
    )
    if not base.is_lasting:
        return base
    runs = [
        _run(served, load, limits, requests=effort.requests, seed=effort.seed + number)
        for number in range(effort.runs)
    ]
    batches = [rows for run in runs for rows in run.batches]
    unmeasured = sum(not served.curve.knows(rows) for rows in batches)
    return replace(
        base,
        percentiles_s={
            percent: Range.of([percentile(run.latencies_s, percent) for run in runs])
            for percent in percentiles
        },
        used_ratio=median(run.used_ratio for run in runs),
        rows_per_batch=sum(batches) / len(batches),
        refused_ratio=median(run.refused_ratio for run in runs),
        unmeasured_ratio=unmeasured / len(batches),
    )


def capacity_rows_per_s(served: Served, mix: Mix, limits: BatchLimits) -> float:
    """Rows answered per second when more than enough is queued all the time."""
    rng = Random(0)
    rows = _FULL_BATCHES * limits.max_batch_rows * served.replicas
    backlog = list(islice(_at_once(mix, rng), math.ceil(rows / mix.mean_rows)))
    unbounded = replace(limits, max_queued_rows=rows * 1000)
    backend = Backend(served.curve.at, served.replicas, rng)
    simulation = _simulation(unbounded, backend)
    simulation.run(OpenLoop(iter(backlog)))
    return sum(arrival.rows for arrival in backlog) / simulation.now


def best_limits(
    limits: BatchLimits,
    evaluate: Callable[[BatchLimits], Prediction],
    *,
    max_rows: int,
    wait_s: float,
    percent: float,
) -> list[Prediction]:
    """What was tried in place of `limits`, the best first.

    One limit is moved at a time: the rows of a batch, then the wait, then the batches in flight. What is
    about as good as the best (5 %) is taken for as good, and then waits less and has fewer in flight.

    Args:
        limits: Where to begin.
        evaluate: What is to be expected of these.
        max_rows: No batch larger than that is suggested: nothing is known of them.
        wait_s: The longest wait to try.
        percent: The percentile of latency to be lowest.
    """
    tried: dict[tuple[int, float, int], Prediction] = {}

    def best_of(candidates: list[BatchLimits]) -> BatchLimits:
        for one in candidates:
            name = (one.max_batch_rows, one.max_delay_s, one.max_in_flight)
            if name not in tried:
                tried[name] = evaluate(one)
        return _ranked(list(tried.values()), percent)[0].limits

    sizes = _sizes(max_rows)
    best = best_of([replace(limits, max_batch_rows=rows, max_delay_s=0.0) for rows in sizes])
    best = best_of([replace(best, max_delay_s=wait) for wait in (wait_s / 4, wait_s / 2, wait_s)])
    best_of([replace(best, max_in_flight=2 * limits.max_in_flight)])
    return _ranked(list(tried.values()), percent)


def replicas_for(
    slo_s: float, percent: float, evaluate: Callable[[int], Prediction], least: int
) -> Prediction | None:
    """The fewest replicas, from `least` on, whose `percent` stays within `slo_s` in every run.

    None if 64 times as many do not either: then it is the batch itself that takes too long.
    """

    def suffices(found: Prediction) -> bool:
        return found.is_lasting and found.percentiles_s[percent].high <= slo_s

    failed, step = least - 1, 1
    found = evaluate(least)
    while not suffices(found):
        failed = found.replicas
        if failed >= least * _MAX_TIMES_REPLICAS:
            return None
        found = evaluate(failed + step)
        step *= 2
    while found.replicas - failed > 1:
        middle = evaluate((failed + found.replicas) // 2)
        if suffices(middle):
            found = middle
        else:
            failed = middle.replicas
    return found


def _run(served: Served, load: Load, limits: BatchLimits, *, requests: int, seed: int) -> _Run:
    arrivals = islice(poisson(load.requests_per_s, load.mix, Random(seed)), requests)
    # Generators of their own: what the backend draws must not change who arrives.
    rng = Random(seed + _MAX_SEEDS)
    backend = Backend(noisy(served.curve, served.spread_ratio, rng), served.replicas, rng)
    simulation = _simulation(limits, backend)
    ended = simulation.run(OpenLoop(arrivals))
    warm_s = simulation.now * _WARM_RATIO
    return _Run(
        latencies_s=[s + served.overhead_s for s in latencies_s(ended, from_s=warm_s)],
        batches=simulation.batches,
        refused_ratio=sum(end.outcome == "refused" for end in ended) / len(ended),
        used_ratio=backend.busy_s / (simulation.now * served.replicas),
    )


def _simulation(limits: BatchLimits, backend: Backend) -> Simulation[Batch[Request]]:
    plan: Plan[Request] = Plan(limits)
    return Simulation(plan, backend, max_batch_rows=limits.max_batch_rows)


def _at_once(mix: Mix, rng: Random) -> Iterator[Arrival]:
    while True:
        yield mix.draw(0.0, rng)


def _sizes(max_rows: int) -> list[int]:
    """Powers of two up to `max_rows`, and `max_rows`."""
    return [2**power for power in range(max_rows.bit_length()) if 2**power < max_rows] + [max_rows]


def _ranked(found: list[Prediction], percent: float) -> list[Prediction]:
    """The best first: those that last, by latency; the others by capacity."""
    lasting = [one for one in found if one.is_lasting]
    lowest = min((one.percentiles_s[percent].middle for one in lasting), default=math.nan)

    def rank(one: Prediction) -> tuple[object, ...]:
        if not one.is_lasting:
            return (2, -one.capacity_rows_per_s)
        latency_s = one.percentiles_s[percent].middle
        if latency_s > lowest * _SAME_RATIO:
            return (1, latency_s)
        limits = one.limits
        return (0, limits.max_delay_s, limits.max_in_flight, -one.capacity_rows_per_s)

    return sorted(found, key=rank)
