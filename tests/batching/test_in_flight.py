"""InFlight: how many batches there should be, found by trying."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.batching.in_flight import InFlight


def _run(
    in_flight: InFlight,
    rows_per_s: Callable[[int], float],
    *,
    seconds: float,
    queued_rows: int = 9,
    now: float = 0.0,
) -> list[int]:
    """The limits at each answer of a backend that gives so many rows a second at each limit."""
    limits, end = [], now + seconds
    while now < end:
        now += 8 / rows_per_s(in_flight.limit)
        limits.append(in_flight.note(now, 8, queued_rows))
    return limits


@pytest.mark.parametrize("best", [1, 2, 3, 5])
def test_it_finds_the_number_that_serves_most(best: int) -> None:
    in_flight = InFlight(1, 5)
    limits = _run(in_flight, lambda limit: 4000 - 700 * abs(limit - best), seconds=60.0)
    after = limits[len(limits) // 2 :]
    assert after.count(best) > 0.9 * len(after)


def test_of_numbers_that_serve_alike_it_takes_the_least() -> None:
    in_flight = InFlight(1, 5)
    in_flight.limit = in_flight._best = 4
    limits = _run(in_flight, lambda _limit: 4000.0, seconds=60.0)
    after = limits[len(limits) // 2 :]
    assert after.count(1) > 0.9 * len(after)


def test_noise_hardly_moves_it() -> None:
    dice = random.Random(5)
    in_flight = InFlight(1, 4)
    rates = {1: 4000.0, 2: 5000.0, 3: 4800.0, 4: 4000.0}
    limits = _run(in_flight, lambda limit: rates[limit] * dice.uniform(0.8, 1.2), seconds=120.0)
    after = limits[len(limits) // 2 :]
    assert after.count(2) > 0.8 * len(after)


def test_a_load_that_rises_during_a_trial_favours_neither() -> None:
    in_flight, now = InFlight(1, 2), 0.0
    rate = 2000.0
    for _ in range(4000):
        rate *= 1.0002
        now += 8 / rate
        in_flight.note(now, 8, 9)
    assert in_flight._best == 1


def test_trials_that_do_not_pay_become_rare() -> None:
    in_flight = InFlight(1, 2)
    limits = _run(in_flight, lambda limit: 4000.0 if limit == 1 else 2000.0, seconds=300.0)
    assert 0 < sum(limit == 2 for limit in limits) < 0.01 * len(limits)


def test_where_nobody_waits_for_a_slot_fewer_are_used() -> None:
    in_flight = InFlight(2, 5)
    in_flight.limit = in_flight._best = 5
    _run(in_flight, lambda _limit: 4000.0, seconds=5.0, queued_rows=0)
    assert in_flight.limit == 2


def test_when_the_queue_runs_dry_a_trial_ends() -> None:
    in_flight = InFlight(1, 2)
    limits = _run(in_flight, lambda _limit: 4000.0, seconds=0.25)
    assert limits[-1] == 2
    limits = _run(in_flight, lambda _limit: 4000.0, seconds=0.5, queued_rows=0, now=0.25)
    assert limits[-1] == 1


@given(
    bounds=st.tuples(st.integers(1, 4), st.integers(0, 4)),
    answers=st.lists(
        st.tuples(st.floats(1e-5, 1.0), st.integers(0, 64), st.integers(0, 1)), max_size=400
    ),
)
def test_it_stays_within_its_bounds(
    bounds: tuple[int, int], answers: list[tuple[float, int, int]]
) -> None:
    least, more = bounds
    in_flight, now = InFlight(least, least + more), 0.0
    for passed_s, rows, queued_rows in answers:
        now += passed_s
        assert least <= in_flight.note(now, rows, queued_rows) <= least + more
