"""A latency curve says what was measured, and tells what was not."""

from __future__ import annotations

from random import Random
from statistics import mean, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.simulation.curve import LatencyCurve, Point, noisy, smoothed

_POINTS = st.lists(
    st.builds(Point, st.integers(1, 64), st.floats(1e-4, 10), st.integers(1, 50)),
    min_size=1,
    max_size=12,
)


@given(points=_POINTS, rows=st.integers(1, 200))
def test_it_passes_through_what_was_measured_and_stays_within_it(
    points: list[Point], rows: int
) -> None:
    """Sizes measured several times are averaged; between two sizes no time lies outside of theirs."""
    curve = LatencyCurve(points)
    for point in curve.points:
        assert curve.at(point.rows) == pytest.approx(point.seconds)
    if curve.knows(rows):
        inside = [p.seconds for p in curve.points]
        assert min(inside) * 0.999 <= curve.at(rows) <= max(inside) * 1.001
    assert curve.knows(rows) == (curve.min_rows <= rows <= curve.max_rows)


@given(points=_POINTS, more=st.integers(1, 100))
def test_more_rows_than_measured_take_longer(points: list[Point], more: int) -> None:
    """Nothing comes for free where nothing is known."""
    curve = LatencyCurve(points)
    assert curve.at(curve.max_rows + more) > curve.at(curve.max_rows)
    assert curve.at(curve.min_rows - 0.5) == curve.at(curve.min_rows)


def test_beyond_the_points_it_goes_on_along_the_upper_half() -> None:
    """Of 4, 8 and 16 rows the last two; a lone point knows only its cost per row."""
    curve = LatencyCurve([Point(4, 1.0), Point(8, 5.0), Point(16, 6.0)])
    assert curve.at(32) == pytest.approx(8.0)
    assert LatencyCurve([Point(8, 4.0)]).at(16) == pytest.approx(8.0)
    assert LatencyCurve([Point(1, 3.0), Point(2, 3.0)]).at(4) == pytest.approx(6.0)


@given(points=_POINTS)
def test_smoothed_points_never_fall_and_cost_the_same_in_all(points: list[Point]) -> None:
    """Neighbours are averaged, each weighted by its batches."""
    found = smoothed(points)
    seconds = [point.seconds for point in found]
    assert seconds == sorted(seconds)
    spent = [sum(point.seconds * point.batches for point in some) for some in (points, found)]
    assert spent[1] == pytest.approx(spent[0])


def test_what_was_in_order_stays_as_it_was() -> None:
    """Only a fall is smoothed."""
    rising = [Point(1, 1.0), Point(2, 3.0), Point(4, 3.0)]
    assert smoothed(rising) == rising
    assert smoothed([Point(1, 3.0, 3), Point(2, 1.0, 1)]) == [Point(1, 2.5, 3), Point(2, 2.5, 1)]


def test_noise_keeps_the_mean_and_has_the_spread_asked_for() -> None:
    """Of 20,000 draws within 3 %."""
    curve = LatencyCurve([Point(1, 1.0), Point(9, 2.0)])
    draws = [noisy(curve, 0.2, Random(seed))(5) for seed in range(20_000)]
    assert mean(draws) == pytest.approx(1.5, rel=0.01)
    assert stdev(draws) / mean(draws) == pytest.approx(0.2, rel=0.03)
    assert noisy(curve, 0.0, Random(1))(5) == 1.5


@pytest.mark.parametrize(
    "points", [[], [Point(0, 1.0)], [Point(1, 0.0)], [Point(1, 1.0, 0)], [Point(1, float("nan"))]]
)
def test_what_cannot_have_been_measured_is_refused(points: list[Point]) -> None:
    """No points, no rows, no time, no batches."""
    with pytest.raises(ValueError, match=r"at least one|wants rows"):
        LatencyCurve(points)
