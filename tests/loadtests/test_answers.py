"""Which answers are right, and does a failure say what is wrong with the others?"""

from __future__ import annotations

import numpy as np
import pytest

from gateway.tensors import Array
from loadtests.answers import Tolerance, WrongAnswer, check

NEAR = Tolerance(atol=1e-5, rtol=1e-5)
WANTED = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)


def test_the_expected_numbers_are_right_and_so_are_near_ones() -> None:
    check({"y": WANTED}, {"y": WANTED}, NEAR)
    check({"y": WANTED}, {"y": WANTED + np.float32(5e-6)}, NEAR)


def changed(row: int, column: int, value: float) -> Array:
    array = WANTED.copy()
    array[row, column] = value
    return array


@pytest.mark.parametrize(
    ("got", "text"),
    [
        ({"y": WANTED[::-1]}, "y: wrong numbers in 2 of 2 rows"),
        ({"y": changed(1, 0, 3.001)}, "y: wrong numbers in 1 of 2 rows"),
        ({"y": changed(0, 1, np.nan)}, "y: wrong numbers in 1 of 2 rows"),
        ({"y": changed(0, 1, np.inf)}, "y: wrong numbers in 1 of 2 rows"),
        ({"y": WANTED[:1]}, r"y: got \[1, 2\], wanted \[2, 2\]"),
        ({"y": WANTED.ravel()}, r"y: got \[4\], wanted \[2, 2\]"),
        ({"y": WANTED.astype(np.float64)}, "y: got float64, wanted float32"),
        ({"z": WANTED}, r"got outputs \['z'\], wanted \['y'\]"),
        ({"y": WANTED, "z": WANTED}, r"got outputs \['y', 'z'\], wanted \['y'\]"),
        ({}, r"got outputs \[\], wanted \['y'\]"),
    ],
)
def test_anything_else_is_wrong(got: dict[str, Array], text: str) -> None:
    with pytest.raises(WrongAnswer, match=text):
        check({"y": WANTED}, got, NEAR)


def test_rows_that_decide_alike_are_still_not_each_others_answer() -> None:
    alike = np.array([[0.1, 0.9], [0.2, 0.8]], np.float32)
    with pytest.raises(WrongAnswer, match="2 of 2 rows"):
        check({"y": alike}, {"y": alike[::-1]}, NEAR)


def test_whole_numbers_and_single_numbers_per_row_are_compared_too() -> None:
    totals = np.array([3, 7, 11], np.int64)
    check({"total": totals}, {"total": totals}, NEAR)
    with pytest.raises(WrongAnswer, match="total: wrong numbers in 1 of 3 rows"):
        check({"total": totals}, {"total": totals + np.array([0, 1, 0])}, NEAR)
