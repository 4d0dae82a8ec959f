"""The plan that serves keeps its promises through thousands of made-up histories.

Driven in virtual time, by the moments that its own `wake_at` gives. `Watched` holds sizes, keys, slots
and deadlines at every batch; the driver raises if anyone is left waiting for ever.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.batching import BatchLimits
from gateway.simulation.faults import Faults
from gateway.simulation.requests import Arrival, Ended
from tests.simulation.histories import HISTORIES, KEYS, History, Watched


@pytest.mark.slow
@settings(max_examples=2000, deadline=None)
@given(history=HISTORIES)
def test_every_request_ends_exactly_once_and_as_it_must(history: History) -> None:
    """Nobody is lost, told twice, told late, overtaken by an equal, or told what is not true."""
    watched = Watched(history)
    ended = watched.happen()
    assert Counter(end.arrival for end in ended) == Counter(history.arrivals)
    assert watched.generations.is_idle
    assert all(plan.queued_rows == 0 for plan in watched.generations.plans)
    for end in ended:
        _check_end(end, history)
    for ids in watched.sent.values():
        assert ids == sorted(ids)


def _check_end(end: Ended, history: History) -> None:
    arrival = end.arrival
    assert arrival.at <= end.at <= min(arrival.deadline, arrival.leaves_at)
    match end.outcome:
        case "answered":
            assert not arrival.is_poison
        case "expired":
            assert (
                end.at <= arrival.deadline
            )  # sooner, if it could not be answered in time any more
        case "left":
            assert end.at == arrival.leaves_at
        case "failed":
            assert arrival.is_poison or history.faults.failing
        case "refused":
            assert end.at == arrival.at


@settings(max_examples=20, deadline=None)
@given(history=HISTORIES, rows=st.integers(1, 3), replicas=st.integers(1, 3))
def test_the_promises_hold_while_the_number_in_flight_is_found_by_trying(
    history: History, rows: int, replicas: int
) -> None:
    """In a crowd after the history, long enough for trials of fewer batches in flight and of more."""
    begins = 50.0  # when all of the history has ended
    crowd = [
        Arrival(at=begins + n / 4, rows=rows, key=KEYS[0], deadline=begins + n / 4 + 20 + n % 7)
        for n in range(400)
    ]
    limits = BatchLimits(max_batch_rows=6, max_queued_rows=24, max_in_flight=3, min_in_flight=1)
    faults = replace(history.faults, closes_at=math.inf, reloads={45.0: limits})
    whole = History([*history.arrivals, *crowd], history.limits, faults, replicas)
    watched = Watched(whole)
    ended = watched.happen()
    assert Counter(end.arrival for end in ended) == Counter(whole.arrivals)
    for end in ended:
        _check_end(end, whole)
    assert len(watched.in_flight_limits[max(watched.in_flight_limits)]) > 1


@settings(max_examples=50, deadline=None)
@given(history=HISTORIES)
def test_the_same_history_happens_again(history: History) -> None:
    """Nothing is random that was not drawn before."""
    assert Watched(history).happen() == Watched(history).happen()


def test_a_reload_lets_the_old_queue_run_dry_beside_the_new_one() -> None:
    """What was accepted before runs by the old limits and slots; what comes later meets the new ones at once."""
    history = History(
        arrivals=[Arrival(at=0.0, key=KEYS[0]), Arrival(at=0.25, key=KEYS[0])]
        + [Arrival(at=at, key=KEYS[0], deadline=at + 50) for at in (0.75, 1.0)],
        limits=BatchLimits(max_batch_rows=6, max_delay_s=3.0, max_queued_rows=24),
        faults=Faults(reloads={0.5: BatchLimits(max_batch_rows=2)}),
        replicas=1,
    )
    watched = Watched(history)
    left = {end.arrival.at: end.left_at for end in watched.happen()}
    assert left[0.25] == 0.75  # when the only old slot is free again: without a wait, in a hurry
    assert left[0.75] == 0.75  # the new arm has a slot of its own
    assert math.isfinite(left[1.0])
