"""Who comes too late is refused whatever the requests look like: alone in their batches, or of thousands of shapes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from random import Random

import pytest

from gateway.batching import BatchKey, BatchLimits
from gateway.batching.entry import Batch
from gateway.batching.plan import Plan
from gateway.simulation.arrivals import OpenLoop
from gateway.simulation.backend import Backend
from gateway.simulation.driver import Simulation
from gateway.simulation.requests import Arrival, Request

_BATCH_S = 0.02
_SECONDS = 20.0
_BEGINS_AT = 4.0


def _key(length: int, *, batchable: bool = True) -> BatchKey:
    return BatchKey("", "", (("x", "FP32", (length,)),), (), (), batchable)


def _arrivals(
    load: float, timeout_s: float, kind: Callable[[Random], BatchKey]
) -> Iterator[Arrival]:
    rng, at = Random(1), 0.0
    while at < _SECONDS:
        at += rng.expovariate(load / _BATCH_S)
        yield Arrival(at=at, key=kind(rng), deadline=at + timeout_s)


@pytest.mark.slow
@pytest.mark.parametrize("load", [1.5, 3.0])
@pytest.mark.parametrize("timeout_s", [0.5, 2.0])
@pytest.mark.parametrize(
    "kind",
    [
        lambda _rng: _key(4, batchable=False),
        lambda rng: _key(rng.randrange(120)),
        lambda rng: _key(rng.randrange(5000)),
    ],
    ids=["alone", "120 shapes", "5000 shapes"],
)
def test_a_backend_spends_its_time_on_answers_in_time(
    kind: Callable[[Random], BatchKey], timeout_s: float, load: float
) -> None:
    """It takes 20 ms for a batch, give or take a fifth, of however many rows."""
    rng = Random(2)
    plan: Plan[Request] = Plan(BatchLimits(max_batch_rows=64))
    backend = Backend(lambda _rows: _BATCH_S * rng.uniform(0.8, 1.2))
    simulation: Simulation[Batch[Request]] = Simulation(plan, backend, max_batch_rows=64)
    ended = simulation.run(OpenLoop(_arrivals(load, timeout_s, kind)))
    outcomes = Counter(end.outcome for end in ended if end.arrival.at > _BEGINS_AT)
    assert outcomes["answered"] > 0.97 * (_SECONDS - _BEGINS_AT) / _BATCH_S
    assert outcomes["expired"] < 0.06 * outcomes["answered"]
