"""Predictions agree with what can be worked out by hand, and tell what cannot be had."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from gateway.batching import BatchLimits
from gateway.simulation.arrivals import Mix
from gateway.simulation.curve import LatencyCurve, Point
from gateway.simulation.planning import (
    Effort,
    Load,
    Prediction,
    Served,
    capacity_rows_per_s,
    predict,
)
from gateway.simulation.planning_search import best_limits, replicas_for

_CURVE = LatencyCurve([Point(1, 0.0055), Point(32, 0.021)])
_SERVED = Served(curve=_CURVE)
_LIMITS = BatchLimits(max_batch_rows=32)
_SHORT = Effort(runs=3, requests=1500)


def test_capacity_is_what_full_batches_reach() -> None:
    """32 rows in 21 ms; requests of 20 rows do not share a batch of 32."""
    assert capacity_rows_per_s(_SERVED, Mix(), _LIMITS) == pytest.approx(32 / 0.021, rel=0.01)
    twenty = Mix(rows={20: 1.0})
    assert capacity_rows_per_s(_SERVED, twenty, _LIMITS) == pytest.approx(20 / 0.015, rel=0.01)


def test_without_batches_it_is_the_textbook_s_queue() -> None:
    """M/D/1 at half its capacity: the mean wait is half a service time, so p50 lies between one and two."""
    alone = replace(_LIMITS, max_batch_rows=1)
    found = predict(_SERVED, Load(requests_per_s=0.5 / 0.0055), alone, effort=_SHORT)
    assert found.rows_per_batch == 1
    assert found.used_ratio == pytest.approx(0.5, rel=0.1)
    # P(wait = 0) is 1/2 in M/D/1 at this load, so the median is one service time, give or take.
    assert found.percentiles_s[50.0].middle == pytest.approx(0.0055, rel=0.15)
    assert 0.015 < found.percentiles_s[99.0].middle < 0.03


def test_overhead_is_added_to_every_request() -> None:
    """And to nothing else."""
    load = Load(requests_per_s=10.0)
    found = [
        predict(replace(_SERVED, overhead_s=s), load, _LIMITS, effort=_SHORT).percentiles_s[50.0]
        for s in (0.0, 0.1)
    ]
    assert found[1].middle - found[0].middle == pytest.approx(0.1)


def test_more_than_capacity_has_no_latency() -> None:
    """There is no percentile of a queue that grows until it refuses."""
    found = predict(_SERVED, Load(requests_per_s=1600.0), _LIMITS, effort=_SHORT)
    assert not found.is_lasting
    assert found.percentiles_s == {}
    assert found.capacity_rows_per_s == pytest.approx(1524, rel=0.01)


def test_batches_of_unmeasured_sizes_are_told() -> None:
    """With room for 64 rows in a batch, 32 measured and 1,550 arriving, many are larger."""
    found = predict(_SERVED, Load(requests_per_s=1550.0), BatchLimits(), effort=_SHORT)
    assert 0.2 < found.unmeasured_ratio < 1
    assert (
        predict(_SERVED, Load(requests_per_s=400.0), BatchLimits(), effort=_SHORT).unmeasured_ratio
        == 0
    )


def test_the_best_limits_let_batches_grow_and_do_not_wait() -> None:
    """Where batches are much cheaper than their rows; what cannot hold the load comes last."""

    def evaluate(limits: BatchLimits) -> Prediction:
        return predict(_SERVED, Load(requests_per_s=800.0), limits, effort=_SHORT)

    ranked = best_limits(BatchLimits(), evaluate, max_rows=32, wait_s=0.01, percent=99.0)
    assert ranked[0].limits == _LIMITS
    assert not ranked[-1].is_lasting
    assert ranked[-1].limits.max_batch_rows == 1
    assert len(ranked) == 10


@pytest.mark.parametrize(("slo_ms", "least"), [(60, 2), (25, 3)])
def test_the_fewest_replicas_that_keep_an_slo_are_found(slo_ms: float, least: int) -> None:
    """One fewer does not keep it."""
    load = Load(requests_per_s=2400.0)

    def evaluate(replicas: int) -> Prediction:
        served = replace(_SERVED, replicas=replicas)
        return predict(served, load, replace(_LIMITS, max_in_flight=replicas), effort=_SHORT)

    found = replicas_for(slo_ms / 1e3, 99.0, evaluate, (1, 64))
    assert found is not None
    assert found.replicas >= least
    assert found.percentiles_s[99.0].high <= slo_ms / 1e3
    fewer = evaluate(found.replicas - 1)
    assert not fewer.is_lasting or fewer.percentiles_s[99.0].high > slo_ms / 1e3


def test_an_slo_below_one_batch_is_kept_by_no_number_of_replicas() -> None:
    """One row alone takes 5.5 ms."""

    def evaluate(replicas: int) -> Prediction:
        served = replace(_SERVED, replicas=replicas)
        return predict(
            served, Load(requests_per_s=10.0), _LIMITS, effort=Effort(runs=1, requests=50)
        )

    assert replicas_for(0.005, 99.0, evaluate, (1, 64)) is None


def test_a_range_holds_its_middle() -> None:
    """Five runs differ, a little."""
    found = predict(_SERVED, Load(requests_per_s=800.0), _LIMITS, effort=_SHORT)
    for percent in (50.0, 99.0):
        told = found.percentiles_s[percent]
        assert told.low <= told.middle <= told.high
        assert told.high < 1.3 * told.low
    assert math.isfinite(found.rows_per_batch)


@pytest.mark.parametrize("rows", [{1: 1.0}, {1: 9.0, 8: 1.0}, {5: 1.0}, {40: 1.0}])
def test_many_replicas_take_as_much_each_as_few(rows: dict[int, float]) -> None:
    """So what one run takes does not hang on how long it was: 3 % at most between 60 and 240 replicas."""

    def capacity_of_one(replicas: int) -> float:
        served = replace(_SERVED, replicas=replicas)
        limits = replace(_LIMITS, max_in_flight=replicas)
        return capacity_rows_per_s(served, Mix(rows=rows), limits) / replicas

    assert capacity_of_one(240) == pytest.approx(capacity_of_one(60), rel=0.03)


def test_requests_of_many_pieces_are_fewer_and_that_is_told() -> None:
    """4,096 rows a request are 128 batches of 32 rows."""
    load = Load(requests_per_s=0.1, mix=Mix(rows={4096: 1.0}))
    found = predict(_SERVED, load, _LIMITS, effort=Effort(runs=1, requests=800))
    assert (found.requests, found.is_cut) == (156, True)
    assert found.percentiles_s[50.0].middle == pytest.approx(128 * 0.021, rel=0.05)
