"""Latency: what a batch of so many rows usually takes."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from gateway.batching.latency import Latency
from gateway.batching.retries import RetryBudget

_SECONDS = st.floats(1e-4, 100.0)


def _learned(*answers: tuple[int, float], times: int = 3) -> Latency:
    latency = Latency()
    for rows, seconds in answers:
        for _ in range(times):
            latency.note(0.0, rows, seconds)
    return latency


def test_nothing_is_known_before_the_first_answer() -> None:
    assert Latency().usual_s(0.0, 1) is None


def test_one_answer_and_two_say_nothing_yet() -> None:
    latency = _learned((1, 9.0), times=2)
    assert latency.usual_s(0.0, 1) is None


def test_usual_is_the_median() -> None:
    latency = _learned((1, 3.0), (1, 1.0), (1, 2.0), times=1)
    assert latency.usual_s(0.0, 1) == 2.0


def test_one_slow_outlier_changes_next_to_nothing() -> None:
    latency = _learned(*[(8, 1.0)] * 6, (8, 1000.0), times=1)
    assert latency.usual_s(0.0, 8) == 1.0


def test_what_is_slower_from_now_on_is_believed_after_four_batches() -> None:
    latency = _learned((8, 1.0), times=7)
    usual = []
    for _ in range(4):
        latency.note(0.0, 8, 5.0)
        usual.append(latency.usual_s(0.0, 8))
    assert usual == [1.0] * 3 + [5.0]


def test_between_two_sizes_it_is_interpolated_and_beyond_them_it_is_theirs() -> None:
    latency = _learned((2, 1.0), (8, 4.0))
    assert [latency.usual_s(0.0, rows) for rows in (1, 2, 5, 8, 64)] == [1.0, 1.0, 2.5, 4.0, 4.0]


def test_what_is_spared_is_what_a_batch_takes_beyond_its_rows() -> None:
    latency = _learned((1, 3.0), (8, 10.0), (16, 18.0))
    assert latency.spared_s(0.0, 8) == 3.0 + 9.0 - 10.0
    assert Latency().spared_s(0.0, 8) == 0.0


def test_more_rows_never_take_less() -> None:
    latency = _learned((2, 3.0), (8, 1.0), (32, 5.0))
    assert [latency.usual_s(0.0, rows) for rows in (2, 8, 32)] == [3.0, 3.0, 5.0]


@given(answers=st.lists(st.tuples(st.integers(1, 300), _SECONDS), min_size=1, max_size=60))
def test_it_lies_within_what_was_seen_and_grows_with_rows(answers: list[tuple[int, float]]) -> None:
    latency = _learned(*answers)
    usual = [latency.usual_s(0.0, rows) or 0.0 for rows in range(1, 310)]
    seen = [seconds for _, seconds in answers]
    # An interpolation may be off by a rounding error.
    assert min(seen) <= min(usual) * (1 + 1e-9)
    assert max(usual) <= max(seen) * (1 + 1e-9)
    assert all(a <= b * (1 + 1e-9) for a, b in itertools.pairwise(usual))


def test_what_was_not_seen_for_half_a_minute_is_forgotten() -> None:
    latency = _learned((1, 5.0), (64, 9.0))
    latency.note(20.0, 64, 9.0)
    assert latency.usual_s(29.9, 1) == 5.0
    assert latency.usual_s(30.0, 1) == 9.0  # of the 64 rows, which were seen since
    assert latency.usual_s(50.0, 1) is None
    for _ in range(3):
        latency.note(60.0, 64, 2.0)
    assert latency.usual_s(60.0, 64) == 2.0


def test_halves_are_sent_for_as_long_as_there_are_answers_beside() -> None:
    budget = RetryBudget()
    assert all(budget.spend() for _ in range(100))
    assert not budget.spend()
    budget.note_answer(2)
    assert [budget.spend(), budget.spend(), budget.spend()] == [True, True, False]


def test_answers_are_not_saved_up_beyond_the_bound() -> None:
    budget = RetryBudget()
    budget.spend()
    budget.note_answer(64)
    assert budget.left == 100
