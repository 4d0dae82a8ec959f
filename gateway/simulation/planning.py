"""What would this backend do under this load? Rows per second, and latencies.

Every figure comes from simulated runs of the plan that serves, `runs` of them with different seeds; a
figure is the middle of what they gave, and says how far they were apart. The same seeds bring the same
arrivals, so that predictions can be compared.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import cycle, islice
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
    "capacity_rows_per_s",
    "predict",
]

_WARM_RATIO = 0.1
_FULL_BATCHES = 50
_MAX_PIECES = 20_000  # in a run: less than a second
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
    """How much is simulated: `runs` of `requests` each, with seeds from `seed` on.

    Where requests are split into so many pieces that this would take too long, there are fewer of them.
    """

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
        batches_per_replica: Those of each run, on average.
        requests: Those of each run.
        is_cut: Whether these are fewer than were asked for.
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
    batches_per_replica: float = 0.0
    requests: int = 0
    is_cut: bool = False


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
    pieces = _pieces(load.mix, limits)
    requests = max(1, min(effort.requests, int(max(effort.requests, _MAX_PIECES) / pieces)))
    runs = [
        _run(served, load, limits, requests=requests, seed=effort.seed + number)
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
        batches_per_replica=len(batches) / len(runs) / served.replicas,
        requests=requests,
        is_cut=requests < effort.requests,
    )


def capacity_rows_per_s(served: Served, mix: Mix, limits: BatchLimits) -> float:
    """Rows answered per second when more than enough is queued all the time."""
    rng = Random(0)
    wanted = _FULL_BATCHES * limits.max_batch_rows * served.replicas
    backlog = list(_up_to(wanted, cycle(_packed(mix, limits.max_batch_rows, rng))))
    total = sum(backlog)
    backend = Backend(served.curve.at, served.replicas, rng)
    simulation = _simulation(replace(limits, max_queued_rows=total), backend)
    simulation.run(OpenLoop(Arrival(at=0.0, rows=rows) for rows in backlog))
    return total / simulation.now


def _packed(mix: Mix, max_batch_rows: int, rng: Random) -> list[int]:
    """Rows of requests that together fill a batch, as one request of so many; larger ones as they are.

    Where everything is queued at once a batch takes who is next until somebody does not fit: so many
    requests at once are as good as one, and far sooner simulated.
    """
    packs: list[int] = []
    rows = 0
    for _ in range(_MAX_PIECES):
        drawn = mix.draw(0.0, rng).rows
        if rows and rows + drawn > max_batch_rows:
            packs.append(rows)
            rows = 0
        rows += drawn
    return packs or [max_batch_rows]


def _up_to(wanted: int, packs: Iterable[int]) -> Iterator[int]:
    rows = 0
    for pack in packs:
        if rows >= wanted:
            return
        rows += pack
        yield pack


def _pieces(mix: Mix, limits: BatchLimits) -> float:
    """Those of a request, on average."""
    weights = sum(mix.rows.values())
    pieces = sum(w * math.ceil(rows / limits.max_batch_rows) for rows, w in mix.rows.items())
    return pieces / weights


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
