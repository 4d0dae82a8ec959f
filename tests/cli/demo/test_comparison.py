"""Figures mean what they say: quantiles, ratios with honest intervals, agreement, the split."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli.demo.comparison import (
    Numbers,
    agreement,
    arm_figures,
    quantile,
    ratio,
    split_figures,
    student_quantile,
)
from gateway.cli.demo.traffic import Sent


def sent(arm: str, total_s: float, *, block: int = 0, unit: str = "u", rows: int = 1) -> Sent:
    """A request that was answered."""
    return Sent(
        block=block,
        surface="TFS REST",
        concurrency=1,
        unit=unit,
        rows=np.arange(rows),
        total_s=total_s,
        arm=arm,
    )


@pytest.mark.parametrize(
    ("freedom", "expected"), [(5, 2.5706), (9, 2.2622), (14, 2.1448), (29, 2.0452), (1000, 1.9623)]
)
def test_student_s_quantile_is_the_table_s(freedom: int, expected: float) -> None:
    """Within 0.2 %."""
    assert student_quantile(freedom) == pytest.approx(expected, rel=2e-3)


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0, 1))
def test_a_quantile_is_one_of_the_values(values: list[float], q: float) -> None:
    """At least a share q of the values is no larger."""
    found = quantile(values, q)
    assert found in values
    assert found is not None
    assert sum(value <= found for value in values) >= q * len(values)


def test_nothing_has_no_quantile() -> None:
    """And an arm without traffic has no times."""
    figures = arm_figures("tf", [], failed=[], batches=0, accuracy=1.0)
    assert (figures.requests, figures.p50_s, figures.queue_s) == (0, None, None)


def test_a_constant_ratio_is_found_exactly() -> None:
    """However much the blocks differ among themselves."""
    times = [
        sent(arm, base * factor, block=block)
        for block, base in enumerate((0.001, 0.5, 0.02, 0.03, 3.0, 0.004))
        for arm, factor in (("tf", 1.0), ("torch", 0.8))
        for _ in range(3)
    ]
    found = ratio(times, "torch", "tf", q=0.5)
    assert found is not None
    assert (found.estimate, found.low, found.high) == pytest.approx((0.8, 0.8, 0.8))
    assert found.blocks == 6


def test_too_few_blocks_give_no_ratio() -> None:
    """Nor do blocks in which one arm hardly answered."""
    times = [sent(arm, 1.0, block=block) for block in range(9) for arm in ("tf", "torch")]
    assert ratio(times, "torch", "tf", q=0.5) is None
    assert ratio([one for one in times * 3 if one.block < 5], "torch", "tf", q=0.5) is None
    assert ratio([one for one in times * 3 if one.block < 6], "torch", "tf", q=0.5) is not None


def test_without_a_difference_the_interval_misses_one_in_twenty() -> None:
    """Simulated: 15 blocks whose levels wander, both arms alike."""
    rng = np.random.default_rng(5)
    misses = 0
    runs = 300
    for _ in range(runs):
        levels = np.exp(rng.normal(size=15).cumsum())
        times = [
            sent(arm, level * math.exp(rng.normal(scale=0.3)), block=block)
            for block, level in enumerate(levels)
            for arm in ("tf", "torch")
            for _ in range(8)
        ]
        found = ratio(times, "torch", "tf", q=0.5)
        assert found is not None
        misses += not found.low <= 1 <= found.high
    assert misses / runs < 0.09  # 0.05 expected; 0.09 is three standard errors above


def decide(values: Numbers) -> npt.NDArray[np.int64]:
    """The largest class."""
    return np.asarray(np.argmax(values, axis=1), np.int64)


def test_the_same_answers_agree() -> None:
    """Not-a-number and infinity included."""
    values = np.array([[1.0, 2.0], [np.nan, 1.0], [np.inf, 0.0]])
    found = agreement(values, values.copy(), decide=decide, atol=0, rtol=0)
    assert (found.rows, found.same, found.outside, found.holds) == (3, 3, 0, True)


@pytest.mark.parametrize(
    ("other", "same", "outside"),
    [
        ([[1.0, 2.00001]], 1, 0),
        ([[1.0, 2.1]], 1, 1),
        ([[2.1, 2.0]], 0, 1),
        ([[1.0, np.nan]], 1, 1),
        ([[1.0, np.inf]], 1, 1),
    ],
)
def test_different_answers_are_counted_by_row(
    other: list[list[float]], same: int, outside: int
) -> None:
    """Decisions and numbers apart."""
    ours = np.array([[1.0, 2.0]])
    found = agreement(ours, np.array(other), decide=decide, atol=1e-4, rtol=0)
    assert (found.same, found.outside) == (same, outside)


def test_users_who_move_or_are_misplaced_are_named() -> None:
    """Sticky means one arm, and the one that the hash gives."""
    times = [
        sent("a", 1, unit="stays"),
        sent("a", 1, unit="stays"),
        sent("a", 1, unit="moves"),
        sent("b", 1, unit="moves"),
        sent("b", 1, unit="strays"),
    ]
    found = split_figures(times, weights={"a": 3, "b": 1}, arm_of=lambda _: "a")
    assert found.expected == {"a": 0.75, "b": 0.25}
    assert found.users == {"a": 1, "b": 1}
    assert found.requests == {"a": 3, "b": 2}
    assert (found.moved, found.misplaced) == (("moves",), ("strays",))


@pytest.mark.parametrize(("first", "surprise"), [(50, 0.0), (60, 2.0), (100, 10.0)])
def test_surprise_is_counted_in_standard_errors(first: int, surprise: float) -> None:
    """Of 100 users under 50/50, the standard error is 5."""
    times = [sent("a" if n < first else "b", 1, unit=str(n)) for n in range(100)]
    found = split_figures(times, weights={"a": 1, "b": 1}, arm_of=lambda _: "a")
    assert found.surprise == pytest.approx(surprise)


def test_an_arm_without_weight_surprises_nobody() -> None:
    """It gets no users, as configured."""
    found = split_figures([sent("a", 1)], weights={"a": 1, "b": 0}, arm_of=lambda _: "a")
    assert found.surprise == 0
    assert split_figures([], weights={"a": 1, "b": 1}, arm_of=lambda _: "a").surprise == 0
