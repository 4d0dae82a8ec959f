"""After how long is a batch sent to a second replica, and how often?"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.backends.hedging import (
    LATEST,
    MAX_AGE_S,
    MAX_SAVED,
    MIN_ANSWERS,
    AnswerTimes,
    Hedging,
    size_of,
)
from gateway.messages import InferRequest
from gateway.tensors import JoinedTensor, Tensor

SIZE = ("iris", 0, 0)
SECONDS = st.floats(1e-4, 100)
HISTORY = st.lists(st.tuples(st.floats(0, 20), SECONDS), max_size=2 * LATEST)


def batch(rows: int, elements: int) -> InferRequest:
    x = Tensor("x", "FP32", np.zeros((rows, elements), np.float32))
    return InferRequest(model="iris", inputs=(x,))


def learned(ratio: float, seconds: float) -> Hedging:
    hedging = Hedging(ratio)
    for _ in range(MIN_ANSWERS):
        hedging.learn(SIZE, seconds, now=0.0)
    return hedging


class TestAnswerTimes:
    @given(HISTORY)
    @example([(0.0, 1.0)] * (LATEST + 1))  # equal times: any of them may be forgotten
    def test_the_p95_is_that_of_the_latest_answers_that_are_not_old(
        self, history: list[tuple[float, float]]
    ) -> None:
        """Whatever came in between."""
        times, now = AnswerTimes(), 0.0
        answers: list[tuple[float, float]] = []
        for passed, seconds in history:
            now += passed
            times.add(seconds, now=now)
            answers.append((now, seconds))
            counted = sorted(s for at, s in answers[-LATEST:] if at >= now - MAX_AGE_S)
            expected = None
            if len(counted) >= MIN_ANSWERS:
                expected = counted[math.ceil(len(counted) * 95 / 100) - 1]
            assert times.p95_s(now) == expected

    @given(st.integers(MIN_ANSWERS, LATEST), SECONDS, st.floats(1, 1e9))
    def test_one_slow_answer_decides_nothing(
        self, count: int, usual: float, outlier: float
    ) -> None:
        """However slow it was, and however few there are."""
        times = AnswerTimes()
        for index in range(count):
            times.add(usual + outlier if index == count // 2 else usual, now=0.0)
        assert times.p95_s(0.0) == usual

    def test_what_was_learned_is_forgotten(self) -> None:
        """After as many new answers, or with time; not a moment before."""
        times = AnswerTimes()
        for _ in range(LATEST):
            times.add(1.0, now=0.0)
        assert times.p95_s(MAX_AGE_S) == 1.0
        for _ in range(LATEST):
            times.add(2.0, now=MAX_AGE_S)
        assert times.p95_s(MAX_AGE_S) == 2.0
        assert times.p95_s(2 * MAX_AGE_S + 0.001) is None


class TestBudget:
    @given(
        st.floats(0.001, 1),
        st.lists(st.booleans(), max_size=300),
        st.integers(0, 300),
    )
    def test_hedges_are_a_bounded_part_of_the_batches(
        self, ratio: float, slow: list[bool], begin: int
    ) -> None:
        """From the start, and in any stretch, apart from what was saved before it."""
        hedging, taken = Hedging(ratio), 0
        late = 0
        for index, is_slow in enumerate(slow):
            hedging.start(SIZE, now=0.0, until=1.0)
            if is_slow and hedging.take():
                taken += 1
                late += index >= begin
            assert taken <= ratio * (index + 1) + 1e-9
            assert late <= ratio * max(index + 1 - begin, 0) + MAX_SAVED + 1e-9

    @pytest.mark.parametrize(("ratio", "batches"), [(1.0, 1), (0.25, 4), (0.125, 8)])
    def test_a_hedge_is_there_when_it_is_earned_and_not_before(
        self, ratio: float, batches: int
    ) -> None:
        """Both ways of the bound."""
        hedging = Hedging(ratio)
        for _ in range(batches):
            assert not hedging.take()
            hedging.start(SIZE, now=0.0, until=1.0)
        assert hedging.take()
        assert not hedging.take()


class TestPatience:
    def test_nothing_is_hedged_before_enough_is_known(self) -> None:
        """Nor because another size is known."""
        hedging = Hedging(1.0)
        for _ in range(MIN_ANSWERS - 1):
            hedging.learn(SIZE, 0.5, now=0.0)
        assert hedging.start(SIZE, now=0.0, until=9.0) is None
        hedging.learn(SIZE, 0.5, now=0.0)
        assert hedging.start(SIZE, now=0.0, until=9.0) == 0.5
        assert hedging.start(("iris", 1, 0), now=0.0, until=9.0) is None
        assert hedging.start(("digits", 0, 0), now=0.0, until=9.0) is None

    def test_a_deadline_that_comes_first_is_left_to_the_first_call(self) -> None:
        """And one that comes just after is not."""
        hedging = learned(1.0, 0.5)
        assert hedging.start(SIZE, now=2.0, until=2.5) is None
        assert hedging.start(SIZE, now=2.0, until=2.5 + 1e-6) == 0.5


class TestSize:
    @given(st.integers(1, 500), st.integers(1, 500), st.integers(1, 64))
    def test_batches_are_alike_that_round_up_to_the_same_power_of_two(
        self, rows: int, others: int, elements: int
    ) -> None:
        """So they differ by less than a factor of two."""
        alike = size_of(batch(rows, elements)) == size_of(batch(others, elements))
        assert alike == (2 ** math.ceil(math.log2(rows)) == 2 ** math.ceil(math.log2(others)))

    def test_long_rows_are_not_short_ones(self) -> None:
        """A sequence of 128 takes longer than one of 8."""
        assert size_of(batch(4, 8)) != size_of(batch(4, 128))

    def test_what_is_still_apart_stays_so(self) -> None:
        """Its copy, which joining avoids, would be made for every batch."""
        apart = JoinedTensor("x", "FP32", [np.zeros((2, 4), np.float32)] * 2)
        assert size_of(InferRequest(model="iris", inputs=(apart,))) == size_of(batch(4, 4))
        assert apart._array is None

    def test_what_has_no_rows_has_a_size_too(self) -> None:
        """A scalar, nothing at all, no input."""
        scalar = Tensor("x", "FP32", np.ones((), np.float32))
        assert size_of(InferRequest(model="m", inputs=(scalar,))) == ("m", 0, 1)
        assert size_of(batch(0, 4)) == ("iris", 0, 0)
        assert size_of(InferRequest(model="m", inputs=())) == ("m", 0, 0)
