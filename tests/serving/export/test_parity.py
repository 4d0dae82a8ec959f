"""Two runtimes' answers are compared number by number, and the worst place is found."""

from __future__ import annotations

import dataclasses
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gateway.tensors import Array
from serving.export.parity import Difference, Tolerance, compare, locate, merge, row_cosines

Floats: TypeAlias = npt.NDArray[np.float32]

TIGHT = Tolerance(atol=1e-5, rtol=1e-5)
EXACT = Tolerance(atol=0.0, rtol=0.0)

SHAPES = hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=5)
ARRAYS = hnp.arrays(
    np.float32, SHAPES, elements=st.floats(-1e6, 1e6, width=32, allow_subnormal=False)
)


def one(a: Floats, b: Floats, tolerance: Tolerance = TIGHT) -> Difference:
    """The difference of a single output."""
    (difference,) = compare({"y": a}, {"y": b}, tolerance)
    return difference


@given(ARRAYS)
def test_an_answer_is_the_same_as_itself(a: Floats) -> None:
    difference = one(a, a.copy(), EXACT)
    assert difference.is_same
    assert difference.max_abs == 0
    assert difference.min_cosine == pytest.approx(1)


@given(ARRAYS, st.data())
def test_one_number_out_of_tolerance_is_found_where_it_is(a: Floats, data: st.DataObject) -> None:
    place = tuple(data.draw(st.integers(0, side - 1)) for side in a.shape)
    b = a.copy()
    b[place] += np.float32(1.0) + abs(a[place]) * np.float32(0.01)
    difference = one(a, b)
    assert not difference.is_same
    assert difference.outside == 1
    assert difference.worst == place
    assert (difference.a, difference.b) == (float(a[place]), float(b[place]))
    assert difference.max_abs == abs(float(a[place]) - float(b[place]))


@given(ARRAYS, st.floats(0.0, 0.9), st.integers(0, 2**32 - 1))
def test_numbers_within_tolerance_are_the_same(a: Floats, share: float, seed: int) -> None:
    wide = a.astype(np.float64)
    sign = np.random.default_rng(seed).choice([-1.0, 1.0], size=a.shape)
    b = wide + sign * share * (TIGHT.atol + TIGHT.rtol * np.abs(wide))
    difference = compare({"y": wide}, {"y": b}, TIGHT)[0]
    assert difference.is_same
    assert difference.max_ratio <= 1


@given(ARRAYS, ARRAYS)
@example(np.zeros(1, np.float32), np.ones(1, np.float32))
def test_both_sides_are_judged_alike(a: Floats, b: Floats) -> None:
    ours, theirs = one(a, b), one(b, a)
    assert ours.is_same == theirs.is_same
    assert ours.max_abs == theirs.max_abs
    assert ours.max_ratio == pytest.approx(theirs.max_ratio)
    assert ours.outside == theirs.outside


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@given(a=ARRAYS, data=st.data())
def test_nan_and_infinity_are_never_an_answer(bad: float, a: Floats, data: st.DataObject) -> None:
    """Not even when both sides give it."""
    place = tuple(data.draw(st.integers(0, side - 1)) for side in a.shape)
    spoiled = a.copy()
    spoiled[place] = bad
    for left, right in ((spoiled, a), (a, spoiled), (spoiled, spoiled)):
        difference = one(left, right)
        assert not difference.is_same
        assert str(list(place)) in difference.problem


def test_what_cannot_be_compared_says_why() -> None:
    a: dict[str, Array] = {"y": np.zeros((2, 3), np.float32), "z": np.zeros(1)}
    b: dict[str, Array] = {"y": np.zeros((2, 4), np.float32), "w": np.zeros(1)}
    problems = {difference.output: difference.problem for difference in compare(a, b, TIGHT)}
    assert problems == {
        "y": "shape [2, 3] in a, [2, 4] in b",
        "z": "only a has it",
        "w": "only b has it",
    }
    (dtypes,) = compare({"y": a["z"]}, {"y": a["z"].astype(np.float32)}, TIGHT)
    assert dtypes.problem == "dtype float64 in a, float32 in b"


def test_integers_and_no_rows_can_be_compared() -> None:
    (whole,) = compare({"y": np.array([1, 2])}, {"y": np.array([1, 3])}, TIGHT)
    assert (whole.outside, whole.worst) == (1, (1,))
    (empty,) = compare({"y": np.zeros((0, 3))}, {"y": np.zeros((0, 3))}, TIGHT)
    assert empty.is_same
    (scalar,) = compare({"y": np.array(1.0)}, {"y": np.array(2.0)}, TIGHT)
    assert (scalar.outside, scalar.worst) == (1, ())


@given(st.lists(ARRAYS, min_size=1, max_size=4), st.integers(0, 2**32 - 1))
def test_merged_batches_are_as_bad_as_the_worst(arrays: list[Floats], seed: int) -> None:
    rng = np.random.default_rng(seed)
    parts = [one(a, a + rng.normal(size=a.shape).astype(np.float32)) for a in arrays]
    (merged,) = merge(parts)
    assert merged.size == sum(part.size for part in parts)
    assert merged.outside == sum(part.outside for part in parts)
    assert merged.max_abs == max(part.max_abs for part in parts)
    assert merged.max_ratio == max(part.max_ratio for part in parts)
    assert merged.min_cosine == min(part.min_cosine for part in parts)
    assert any((part.worst, part.a, part.b) == (merged.worst, merged.a, merged.b) for part in parts)


def test_a_problem_outweighs_any_number() -> None:
    number = one(np.zeros(1, np.float32), np.ones(1, np.float32))
    problem = Difference(output="y", problem="shape")
    assert [m.problem for m in merge([number, problem])] == ["shape"]
    assert [m.problem for m in merge([problem, number])] == ["shape"]


def test_the_worst_row_is_named_by_its_place_in_the_test_set() -> None:
    a = np.zeros((2, 3), np.float32)
    b = a.copy()
    b[1, 2] = 1
    assert locate(one(a, b), np.array([40, 17])).worst == (17, 2)
    scalar = dataclasses.replace(one(a, b), worst=())
    assert locate(scalar, np.array([40, 17])).worst == ()


@given(ARRAYS, st.floats(0.01, 100.0))
def test_the_cosine_is_blind_to_length(a: Floats, factor: float) -> None:
    np.testing.assert_allclose(row_cosines(a, a * np.float32(factor)), 1, rtol=1e-5)
    nonzero = a.reshape(len(a), -1).any(axis=1)
    np.testing.assert_allclose(row_cosines(a, -a)[nonzero], -1, rtol=1e-5)


def test_the_cosine_of_zeros_and_of_huge_numbers() -> None:
    rows = np.array([[0.0, 0.0], [0.0, 0.0], [1e300, 1e300]])
    others = np.array([[0.0, 0.0], [1.0, 0.0], [1e300, 0.0]])
    np.testing.assert_allclose(row_cosines(rows, others), [1, 0, 0.5**0.5])
