"""Arrivals come at the rate asked for, in order, with what was asked for, and again with the same seed."""

from __future__ import annotations

from collections import Counter
from itertools import islice, pairwise
from random import Random
from statistics import mean, pvariance

import pytest

from gateway.batching import BatchLimits
from gateway.batching.plan import Plan
from gateway.simulation.arrivals import Bursts, ClosedLoop, Mix, bursty, poisson
from gateway.simulation.backend import Backend
from gateway.simulation.driver import Simulation
from gateway.simulation.requests import Arrival, Request

_COUNT = 20_000


def gaps(arrivals: list[Arrival]) -> list[float]:
    return [later.at - earlier.at for earlier, later in pairwise(arrivals)]


def test_poisson_arrivals_have_their_rate_and_the_spread_of_strangers() -> None:
    """The standard deviation of exponential gaps is their mean."""
    arrivals = list(islice(poisson(50.0, Mix(), Random(1)), _COUNT))
    found = gaps(arrivals)
    assert mean(found) == pytest.approx(0.02, rel=0.03)
    assert pvariance(found) ** 0.5 == pytest.approx(0.02, rel=0.05)
    assert arrivals == list(islice(poisson(50.0, Mix(), Random(1)), _COUNT))


def test_bursts_have_the_same_rate_and_more_spread() -> None:
    """On a tenth of the time, so ten times as fast while they last."""
    bursts = Bursts(on_s=0.2, off_s=1.8)
    arrivals = list(islice(bursty(50.0, bursts, Mix(), Random(1)), _COUNT))
    found = gaps(arrivals)
    assert min(found) > 0
    assert mean(found) == pytest.approx(0.02, rel=0.15)
    assert pvariance(found) ** 0.5 > 3 * 0.02


def test_a_mix_draws_rows_by_weight_deadlines_and_keys() -> None:
    """Three of four requests have one row."""
    mix = Mix(rows={1: 3.0, 8: 1.0}, timeout_s=2.0)
    rng = Random(1)
    drawn = [mix.draw(5.0, rng) for _ in range(_COUNT)]
    rows = Counter(arrival.rows for arrival in drawn)
    assert rows[8] / _COUNT == pytest.approx(0.25, rel=0.05)
    assert rows.keys() == {1, 8}
    assert {(arrival.at, arrival.deadline) for arrival in drawn} == {(5.0, 7.0)}
    assert mix.mean_rows == 2.75


@pytest.mark.parametrize("think_s", [0.0, 0.3])
def test_in_a_closed_loop_no_more_wait_than_there_are_callers(think_s: float) -> None:
    """Each sends its next request after the last one has ended, until all are sent."""
    plan: Plan[Request] = Plan(BatchLimits(max_batch_rows=2))
    simulation = Simulation(plan, Backend(lambda _rows: 1.0), max_batch_rows=2)
    source = ClosedLoop(4, 101, think_s=think_s, mix=Mix(), rng=Random(1))
    ended = simulation.run(source)
    assert len(ended) == 101
    moments = sorted(
        [(end.arrival.at, 1) for end in ended] + [(end.at, -1) for end in ended],
        key=lambda moment: (moment[0], moment[1]),
    )
    waiting = 0
    for _, change in moments:
        waiting += change
        assert 0 <= waiting <= 4
    assert simulation.now >= 50
