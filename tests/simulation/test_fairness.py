"""Priority and deadlines decide who waits, and starve nobody: what the plan promises, under loads that try it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from heapq import merge
from itertools import takewhile
from random import Random

import pytest

from gateway.batching import BatchLimits
from gateway.batching.entry import HIGH, LOW, NORMAL, Batch
from gateway.batching.plan import Plan
from gateway.simulation.arrivals import Mix, OpenLoop, poisson
from gateway.simulation.backend import Backend
from gateway.simulation.curve import LatencyCurve, Point, noisy
from gateway.simulation.driver import Simulation
from gateway.simulation.requests import Arrival, Ended, Request
from gateway.simulation.summary import latencies_s, percentile

_CURVE = LatencyCurve([Point(1, 0.0055), Point(32, 0.021)])  # at most 1,524 rows/s
_LIMITS = BatchLimits(max_batch_rows=32)
_SECONDS = 8.0


def of_class(rate: float, mix: Mix, seed: int) -> Iterator[Arrival]:
    return takewhile(lambda arrival: arrival.at < _SECONDS, poisson(rate, mix, Random(seed)))


def simulated(*streams: Iterator[Arrival]) -> list[Ended]:
    plan: Plan[Request] = Plan(_LIMITS)
    simulation: Simulation[Batch[Request]] = Simulation(
        plan, Backend(_CURVE.at), max_batch_rows=_LIMITS.max_batch_rows
    )
    return simulation.run(OpenLoop(merge(*streams, key=lambda arrival: arrival.at)))


@pytest.mark.slow
def test_a_low_priority_is_served_while_higher_ones_want_all_there_is() -> None:
    """One batch in eight is theirs, where 1.5 times of capacity comes with a higher priority."""
    high = of_class(2300.0, Mix(priorities={HIGH: 1.0}, timeout_s=0.3), 1)
    low = of_class(60.0, Mix(priorities={LOW: 1.0}), 2)
    ended = simulated(high, low)
    theirs = [end for end in ended if end.arrival.priority == LOW]
    assert {end.outcome for end in theirs} == {"answered"}
    # Eight batches of 32 rows take 0.17 s, and their own one more.
    assert percentile(latencies_s(theirs), 99) < 0.4


@pytest.mark.slow
def test_a_priority_between_two_that_want_all_there_is_starves_no_more_than_the_lowest() -> None:
    """One batch in sixteen is theirs, in the worst case."""
    high = of_class(2300.0, Mix(priorities={HIGH: 1.0}, timeout_s=0.3), 1)
    low = of_class(300.0, Mix(priorities={LOW: 1.0}, timeout_s=5.0), 2)
    normal = of_class(30.0, Mix(priorities={NORMAL: 1.0}), 3)
    ended = simulated(high, low, normal)
    theirs = [end for end in ended if end.arrival.priority == NORMAL]
    assert {end.outcome for end in theirs} == {"answered"}
    # Sixteen batches of 32 rows take 0.34 s, and their own one more.
    assert percentile(latencies_s(theirs), 99) < 0.6


@pytest.mark.slow
def test_a_higher_priority_waits_less_where_there_is_not_enough_for_all() -> None:
    """A third each of 1.3 times the capacity; half of each class, since one batch in eight goes the other way."""
    mix = Mix(priorities={HIGH: 1.0, NORMAL: 1.0, LOW: 1.0}, timeout_s=0.5)
    ended = simulated(of_class(2000.0, mix, 1))
    classes = [[e for e in ended if e.arrival.priority == p] for p in (HIGH, NORMAL, LOW)]
    p50 = [percentile(latencies_s(some), 50) for some in classes]
    answered = [sum(e.outcome == "answered" for e in some) / len(some) for some in classes]
    assert p50[0] <= p50[1] < 0.8 * p50[2]
    assert answered[0] > 0.95
    assert answered[2] < answered[0]


@pytest.mark.slow
def test_overload_is_refused_at_once_and_the_accepted_make_their_deadlines() -> None:
    """At twice the capacity nearly all of it is used for answers in time."""
    mix = Mix(timeout_s=0.2)
    ended = simulated(of_class(3050.0, mix, 1))
    goodput = sum(end.outcome == "answered" for end in ended) / _SECONDS
    accepted = [end for end in ended if end.outcome != "refused"]
    assert goodput > 0.9 * 1524
    assert sum(end.outcome == "expired" for end in accepted) < 0.02 * len(accepted)


@pytest.mark.slow
@pytest.mark.parametrize("load", [1.5, 2.0, 3.0])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_slow_model_whose_times_vary_spends_them_on_answers_in_time(
    load: float, seed: int
) -> None:
    """A serial backend with batches of 68 ms, give or take 12 %, once it is found that a second slot is in vain."""
    model = LatencyCurve([Point(1, 0.012), Point(8, 0.068)])
    plan: Plan[Request] = Plan(BatchLimits(max_batch_rows=8, min_in_flight=1, max_in_flight=4))
    backend = Backend(noisy(model, 0.12, Random(seed)))
    simulation: Simulation[Batch[Request]] = Simulation(plan, backend, max_batch_rows=8)
    capacity = 8 / 0.068
    callers = of_class(load * capacity, Mix(timeout_s=0.5), seed)
    ended = [end for end in simulation.run(OpenLoop(callers)) if end.arrival.at > 3.0]
    outcomes = Counter(end.outcome for end in ended)
    in_time = (_SECONDS - 3.0) * capacity
    assert outcomes["answered"] > 0.92 * in_time
    assert outcomes["expired"] < 0.12 * in_time


@pytest.mark.slow
def test_a_sooner_deadline_goes_first() -> None:
    """The hurried third of a load near capacity waits less than the patient rest."""
    patient = Mix(timeout_s=5.0)
    hurried = replace(patient, timeout_s=0.5)
    ended = simulated(of_class(950.0, patient, 1), of_class(500.0, hurried, 2))
    p99 = [
        percentile(latencies_s(e for e in ended if e.arrival.deadline - e.arrival.at < 1), 99),
        percentile(latencies_s(e for e in ended if e.arrival.deadline - e.arrival.at > 1), 99),
    ]
    assert p99[0] < p99[1]
