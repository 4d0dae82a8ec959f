"""Do two arms say the same? A pure comparison of two answers.

The order of the checks is the order of importance to whoever must decide: a missing output, another
dtype or another shape makes numbers meaningless; a value outside the tolerance comes after that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from gateway.tensors import Array, Tensor

__all__ = ["Comparison", "compare"]

Kind: TypeAlias = Literal["match", "names", "datatype", "shape", "value"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What a comparison found.

    Attributes:
        kind: `match`, or what differs first: `names`, `datatype`, `shape`, `value`.
        output: The output that differs, or the worst one of a match; "" when there is none.
        index: Where in that output the largest difference lies; `()` unless `kind` is `value`.
        max_abs: The largest absolute difference over all outputs; inf when NaN meets a number.
    """

    kind: Kind
    output: str = ""
    index: tuple[int, ...] = ()
    max_abs: float = 0.0


def compare(
    control: Sequence[Tensor], candidate: Sequence[Tensor], *, atol: float, rtol: float
) -> Comparison:
    """Compare a candidate's outputs with the control's, by name.

    Numbers agree when |candidate − control| ≤ atol + rtol·|control|; NaN agrees with NaN, an infinity with
    the same infinity; integers, booleans and bytes agree when they are equal.
    """
    theirs = {tensor.name: tensor for tensor in candidate}
    if set(theirs) != {tensor.name for tensor in control}:
        return Comparison(kind="names", output=",".join(sorted(theirs)))
    worst = Comparison(kind="match")
    for tensor in control:
        found = _compare_one(tensor, theirs[tensor.name], atol, rtol)
        if found.kind != "match":
            return found
        if found.max_abs >= worst.max_abs:
            worst = found
    return worst


def _compare_one(control: Tensor, candidate: Tensor, atol: float, rtol: float) -> Comparison:
    name = control.name
    if control.datatype != candidate.datatype:
        return Comparison(kind="datatype", output=name)
    if control.shape != candidate.shape:
        return Comparison(kind="shape", output=name)
    if control.datatype == "BYTES" or not _is_floating(control.array):
        return _compare_exact(name, control.array, candidate.array)
    return _compare_floats(name, control.array, candidate.array, (atol, rtol))


def _is_floating(array: Array) -> bool:
    # ml_dtypes.bfloat16 is not a numpy floating type, but it is one to us: kind "V" or "f".
    return array.dtype.kind in "fV"


def _compare_exact(name: str, control: Array, candidate: Array) -> Comparison:
    differs = np.asarray(control != candidate)
    if not differs.any():
        return Comparison(kind="match", output=name)
    first = np.unravel_index(int(np.argmax(differs)), differs.shape)
    return Comparison(kind="value", output=name, index=_ints(first), max_abs=float("inf"))


def _compare_floats(
    name: str, control: Array, candidate: Array, tolerance: tuple[float, float]
) -> Comparison:
    if control.size == 0:
        return Comparison(kind="match", output=name)
    ours, theirs = control.astype(np.float64), candidate.astype(np.float64)
    same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
    with np.errstate(invalid="ignore", over="ignore"):
        gap = np.where(same, 0.0, np.abs(theirs - ours))
        gap = np.where(np.isnan(gap), np.inf, gap)
        allowed = tolerance[0] + tolerance[1] * np.abs(ours)
    # an infinite control allows an infinite gap: only equality may pass there
    outside = ~same & ((gap > allowed) | ~np.isfinite(ours) | ~np.isfinite(theirs))
    max_abs = float(gap.max())
    if not outside.any():
        return Comparison(kind="match", output=name, max_abs=max_abs)
    worst = np.unravel_index(int(np.argmax(np.where(outside, gap, -1.0))), gap.shape)
    return Comparison(kind="value", output=name, index=_ints(worst), max_abs=max_abs)


def _ints(index: Sequence[np.intp]) -> tuple[int, ...]:
    return tuple(int(i) for i in index)
