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
    batches: int,
    queued_rows: int = 9,
    now: float = 0.0,
) -> list[int]:
    """The limits at each answer of a backend that gives so many rows a second at each limit."""
    limits = []
    for _ in range(batches):
        now += 8 / rows_per_s(in_flight.limit)
        limits.append(in_flight.note(now, 8, queued_rows))
    return limits


@pytest.mark.parametrize("best", [1, 2, 3, 5])
def test_it_finds_the_number_that_serves_most(best: int) -> None:
    limits = _run(InFlight(1, 5), lambda limit: 4000 - 700 * abs(limit - best), batches=4000)
    after = limits[len(limits) // 2 :]
    assert after.count(best) > 0.9 * len(after)


def test_it_begins_with_two_where_it_may() -> None:
    assert [InFlight(*bounds).limit for bounds in ((1, 4), (1, 1), (3, 4))] == [2, 1, 3]


def test_how_long_it_takes_depends_on_batches_not_on_seconds() -> None:
    quick = _run(InFlight(1, 4), lambda limit: 80_000.0 / limit, batches=300)
    slow = _run(InFlight(1, 4), lambda limit: 8.0 / limit, batches=300)
    assert quick == slow


def test_a_number_that_only_makes_batches_wait_elsewhere_is_left_at_once() -> None:
    limits = _run(InFlight(1, 4), lambda _limit: 160.0, batches=400)
    assert limits[64:].count(1) > 0.8 * len(limits[64:])


def test_trials_that_do_not_pay_become_rare() -> None:
    limits = _run(InFlight(1, 2), lambda limit: 4000.0 if limit == 1 else 2000.0, batches=100_000)
    assert 0 < sum(limit == 2 for limit in limits[1000:]) < 0.01 * len(limits)


def test_of_numbers_that_serve_alike_it_takes_the_least() -> None:
    in_flight = InFlight(1, 5)
    in_flight.limit = in_flight._best = 4
    limits = _run(in_flight, lambda _limit: 4000.0, batches=4000)
    after = limits[len(limits) // 2 :]
    assert after.count(1) > 0.9 * len(after)


def test_noise_hardly_moves_it() -> None:
    dice = random.Random(5)
    rates = {1: 4000.0, 2: 5000.0, 3: 4800.0, 4: 4000.0}
    limits = _run(
        InFlight(1, 4), lambda limit: rates[limit] * dice.uniform(0.7, 1.3), batches=40_000
    )
    after = limits[len(limits) // 10 :]
    assert after.count(2) > 0.8 * len(after)


def test_a_load_that_rises_during_a_trial_favours_neither() -> None:
    in_flight, now = InFlight(2, 3), 0.0
    rate = 2000.0
    for _ in range(4000):
        rate *= 1.0002
        now += 8 / rate
        in_flight.note(now, 8, 9)
    assert in_flight._best == 2


def test_a_backend_that_is_suddenly_another_is_tried_anew() -> None:
    in_flight = InFlight(1, 4)
    _run(in_flight, lambda _limit: 160.0, batches=20_000)
    assert in_flight._best == 1
    limits = _run(in_flight, lambda limit: 800.0 * min(limit, 2), batches=400, now=1e4)
    assert limits[200:].count(2) > 0.5 * len(limits[200:])


def test_where_nobody_waits_for_a_slot_it_goes_back_to_two() -> None:
    in_flight = InFlight(1, 5)
    in_flight.limit = in_flight._best = 5
    _run(in_flight, lambda _limit: 4000.0, batches=100, queued_rows=0)
    assert in_flight.limit == 2


def test_when_the_queue_runs_dry_a_trial_ends() -> None:
    in_flight = InFlight(1, 2)
    limits = _run(in_flight, lambda _limit: 4000.0, batches=21)
    assert limits[-1] == 1
    limits = _run(in_flight, lambda _limit: 4000.0, batches=10, queued_rows=0, now=1.0)
    assert limits[-1] == 2


@given(
    bounds=st.tuples(st.integers(1, 4), st.integers(0, 4)),
    answers=st.lists(
        st.tuples(st.floats(0.0, 1.0), st.integers(0, 64), st.integers(0, 1)), max_size=400
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
