"""How long does a backend take for a batch of so many rows?

Measured points, and straight lines between them: batches cost a fixed part and a part per row, and
where they do not (caches, padding to the next shape), more points say so. Nothing is known beyond the
points, so what is said there is cautious, and `knows` tells it apart:

- fewer rows than measured are taken to last as long as the smallest batch that was;
- more rows go on along the line through the upper half of the points; where it does not rise, or there
  is one point only, each row costs what the cheapest measured one did.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from random import Random

__all__ = ["LatencyCurve", "Point", "noisy", "smoothed"]


@dataclass(frozen=True, slots=True, order=True)
class Point:
    """Batches of `rows` rows take `seconds` on average, as `batches` of them have shown."""

    rows: int
    seconds: float
    batches: int = 1


class LatencyCurve:
    """Seconds by rows.

    Args:
        points: At least one. Points of the same rows are averaged, weighted by their batches.

    Raises:
        ValueError: no point, or one without rows, batches or time.
    """

    def __init__(self, points: Iterable[Point]) -> None:
        self.points = _merged(points)
        if not self.points:
            raise ValueError("a latency curve needs at least one measured point")
        self._rows = [point.rows for point in self.points]
        self._seconds = [point.seconds for point in self.points]
        self._slope_beyond = self._slope_after_last()

    @property
    def max_rows(self) -> int:
        """Rows of the largest batch that was measured."""
        return self._rows[-1]

    @property
    def min_rows(self) -> int:
        """Rows of the smallest batch that was measured."""
        return self._rows[0]

    def knows(self, rows: int) -> bool:
        """Whether so many rows lie between two measured sizes, or are one."""
        return self.min_rows <= rows <= self.max_rows

    def at(self, rows: float) -> float:
        """Seconds of a batch of so many rows."""
        after = bisect_right(self._rows, rows)
        if after == 0:
            return self._seconds[0]
        if after == len(self._rows):
            return self._seconds[-1] + (rows - self._rows[-1]) * self._slope_beyond
        left, right = after - 1, after
        ratio = (rows - self._rows[left]) / (self._rows[right] - self._rows[left])
        return self._seconds[left] + ratio * (self._seconds[right] - self._seconds[left])

    def _slope_after_last(self) -> float:
        upper = [point for point in self.points if point.rows >= self.max_rows / 2]
        slope = _slope(upper if len(upper) > 1 else self.points[-2:])
        rises = slope > 1e-9 * self._seconds[-1]  # and not by a rounding error
        return slope if rises else min(point.seconds / point.rows for point in self.points)


def smoothed(points: Iterable[Point]) -> list[Point]:
    """The same, but never faster for more rows: neighbours that say so are averaged.

    For points that a few batches each have shown. Between two sizes that a thousand batches have shown,
    a larger one may well be faster.
    """
    pools: list[list[Point]] = []
    for point in _merged(points):
        pools.append([point])
        while len(pools) > 1 and _mean_s(pools[-2]) > _mean_s(pools[-1]):
            last = pools.pop()
            pools[-1] += last
    return [Point(point.rows, _mean_s(pool), point.batches) for pool in pools for point in pool]


def noisy(curve: LatencyCurve, spread_ratio: float, rng: Random) -> Callable[[int], float]:
    """`curve.at`, times a lognormal draw of mean 1 whose standard deviation is `spread_ratio`."""
    known: dict[int, float] = {}
    variance = math.log1p(spread_ratio**2)
    mu, sigma = -variance / 2, math.sqrt(variance)

    def seconds(rows: int) -> float:
        if rows not in known:
            known[rows] = curve.at(rows)
        return known[rows] * rng.lognormvariate(mu, sigma) if sigma else known[rows]

    return seconds


def _slope(points: Sequence[Point]) -> float:
    """Of the least-squares line, each point weighted by its batches; 0 for a single one."""
    batches = sum(point.batches for point in points)
    mean_rows = sum(point.rows * point.batches for point in points) / batches
    mean_s = _mean_s(points)
    spread = sum(point.batches * (point.rows - mean_rows) ** 2 for point in points)
    if not spread:
        return 0.0
    return sum(p.batches * (p.rows - mean_rows) * (p.seconds - mean_s) for p in points) / spread


def _mean_s(points: Sequence[Point]) -> float:
    return sum(p.seconds * p.batches for p in points) / sum(p.batches for p in points)


def _merged(points: Iterable[Point]) -> list[Point]:
    by_rows: dict[int, list[Point]] = {}
    for point in points:
        if point.rows < 1 or point.batches < 1 or not 0 < point.seconds < math.inf:
            raise ValueError(f"got {point}, wants rows and batches from 1 and a time above 0")
        by_rows.setdefault(point.rows, []).append(point)
    return [
        Point(rows, _mean_s(found), sum(point.batches for point in found))
        for rows, found in sorted(by_rows.items())
    ]
