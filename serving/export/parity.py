"""Do two runtimes give the same answers, and if not, where and by how much do they differ?

Pure functions on numpy arrays. `compare` takes the outputs of both by name and says everything about each
output; the two sides are called by the names they are given. The tolerance is symmetric:

    |a - b| <= atol + rtol * max(|a|, |b|)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from gateway.tensors import Array

__all__ = ["Difference", "Tolerance", "compare", "locate", "merge", "row_cosines"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """How far apart two numbers may be and still be the same answer."""

    atol: float
    rtol: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What there is to say of one output of both sides.

    Attributes:
        output: Its name.
        problem: Why it cannot be compared number by number (missing, dtype, shape, NaN), or "".
        size: Elements compared.
        outside: Elements outside the tolerance.
        max_abs: The largest absolute difference.
        max_ratio: The largest difference as a share of what is allowed there; above 1 is outside.
        worst: Where `max_ratio` is; () for a scalar, or when nothing was compared.
        a, b: The two values there.
        min_cosine: The least cosine between the two sides' rows.
    """

    output: str
    problem: str = ""
    size: int = 0
    outside: int = 0
    max_abs: float = 0.0
    max_ratio: float = 0.0
    worst: tuple[int, ...] = ()
    a: float = 0.0
    b: float = 0.0
    min_cosine: float = 1.0

    @property
    def is_same(self) -> bool:
        """Whether the output is the same answer on both sides."""
        return not self.problem and self.outside == 0


def compare(
    a: Mapping[str, Array], b: Mapping[str, Array], tolerance: Tolerance
) -> tuple[Difference, ...]:
    """One difference per output name of either side, in `a`'s order and then `b`'s."""
    names = dict.fromkeys((*a, *b))
    return tuple(_compare_output(name, a.get(name), b.get(name), tolerance) for name in names)


def merge(differences: Iterable[Difference]) -> tuple[Difference, ...]:
    """One difference per output from those of several batches; the worst place is of the worst batch."""
    merged: dict[str, Difference] = {}
    for one in differences:
        other = merged.get(one.output)
        merged[one.output] = one if other is None else _merge_two(other, one)
    return tuple(merged.values())


def locate(difference: Difference, rows: Array) -> Difference:
    """The same difference with its row of the batch turned into `rows[row]`, a row of the whole set."""
    if not difference.worst:
        return difference
    row, *rest = difference.worst
    return replace(difference, worst=(int(rows[row]), *rest))


def row_cosines(a: Array, b: Array) -> npt.NDArray[np.float64]:
    """The cosine between row i of both, float64 `[rows]`; 1 where both are zero, 0 where one is."""
    rows = a.shape[0] if a.ndim else 1
    left = a.astype(np.float64).reshape(rows, -1)
    right = b.astype(np.float64).reshape(rows, -1)
    left, right = _unit(left), _unit(right)
    both_zero = ~left.any(axis=1) & ~right.any(axis=1)
    cosines: npt.NDArray[np.float64] = np.clip(np.sum(left * right, axis=1), -1.0, 1.0)
    return np.where(both_zero, 1.0, cosines)


def _compare_output(
    name: str, a: Array | None, b: Array | None, tolerance: Tolerance
) -> Difference:
    if a is None or b is None:
        return Difference(output=name, problem=f"only {'b' if a is None else 'a'} has it")
    if a.dtype != b.dtype:
        return Difference(output=name, problem=f"dtype {a.dtype} in a, {b.dtype} in b")
    if a.shape != b.shape:
        return Difference(output=name, problem=f"shape {list(a.shape)} in a, {list(b.shape)} in b")
    unreal = _unreal(a, b)
    if unreal:
        return Difference(output=name, problem=unreal, size=a.size)
    return _compare_numbers(name, a, b, tolerance)


def _unreal(a: Array, b: Array) -> str:
    """NaN or infinity on either side: never an answer, not even if both give it."""
    if a.dtype.kind != "f":
        return ""
    for side, array in (("a", a), ("b", b)):
        bad = np.argwhere(~np.isfinite(array))
        if len(bad):
            place = bad[0].tolist()
            return f"{len(bad)} NaN or infinite in {side}, first at {place}"
    return ""


def _compare_numbers(name: str, a: Array, b: Array, tolerance: Tolerance) -> Difference:
    if a.size == 0:
        return Difference(output=name)
    left, right = a.astype(np.float64), b.astype(np.float64)
    distance = np.abs(left - right)
    allowed = tolerance.atol + tolerance.rtol * np.maximum(np.abs(left), np.abs(right))
    # With a tolerance of zero, equal numbers are a ratio of 0 and any others are infinitely far apart.
    ratio = np.where(distance == 0, 0.0, distance / np.where(allowed == 0, 1e-300, allowed))
    worst = np.unravel_index(int(np.argmax(ratio)), ratio.shape)
    return Difference(
        output=name,
        size=a.size,
        outside=int(np.count_nonzero(ratio > 1)),
        max_abs=float(distance.max()),
        max_ratio=float(ratio.max()),
        worst=tuple(int(axis) for axis in worst),
        a=float(left[worst]),
        b=float(right[worst]),
        min_cosine=float(row_cosines(a, b).min()),
    )


def _merge_two(one: Difference, other: Difference) -> Difference:
    worse, better = (other, one) if _badness(other) > _badness(one) else (one, other)
    return Difference(
        output=worse.output,
        problem=worse.problem,
        size=one.size + other.size,
        outside=one.outside + other.outside,
        max_abs=max(one.max_abs, other.max_abs),
        max_ratio=worse.max_ratio,
        worst=worse.worst,
        a=worse.a,
        b=worse.b,
        min_cosine=min(one.min_cosine, better.min_cosine, other.min_cosine),
    )


def _badness(difference: Difference) -> tuple[bool, float]:
    return bool(difference.problem), difference.max_ratio


def _unit(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    # Scaled first: the square of a large number would be infinite, of a small one zero.
    largest = np.abs(rows).max(axis=1, keepdims=True, initial=0.0)
    scaled = np.divide(rows, largest, out=np.zeros_like(rows), where=largest > 0)
    length = np.linalg.norm(scaled, axis=1, keepdims=True)
    return np.asarray(np.divide(scaled, length, out=np.zeros_like(rows), where=length > 0))
