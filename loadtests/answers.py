"""Is an answer what the model must say? Compared number by number, so that a mix-up of rows cannot hide.

Rules:
- What is expected of a row is in the test set: the definition's own output, in double precision. The
  tolerance is the one that the parity gate held both exports to. Comparing decisions alone would miss a
  neighbour's answer of the same class.
- A failure's text holds no number that differs from answer to answer: Locust adds failures up by their text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gateway.tensors import Array

__all__ = ["Tolerance", "WrongAnswer", "check"]


class WrongAnswer(Exception):
    """The call was answered, but not with what the model says of these rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """How far an element may be from the expected one: `|a - b| <= atol + rtol * |b|`."""

    atol: float
    rtol: float


def check(expected: Mapping[str, Array], got: Mapping[str, Array], tolerance: Tolerance) -> None:
    """Compare an answer's outputs, `[rows, …]` each, with those expected of the same rows.

    Raises:
        WrongAnswer: says which output differs, and how.
    """
    if got.keys() != expected.keys():
        raise WrongAnswer(f"got outputs {sorted(got)}, wanted {sorted(expected)}")
    for name, wanted in expected.items():
        _check_output(name, wanted, got[name], tolerance)


def _check_output(name: str, wanted: Array, got: Array, tolerance: Tolerance) -> None:
    if got.shape != wanted.shape:
        raise WrongAnswer(f"{name}: got {list(got.shape)}, wanted {list(wanted.shape)}")
    if got.dtype != wanted.dtype:
        raise WrongAnswer(f"{name}: got {got.dtype}, wanted {wanted.dtype}")
    right = wanted.astype(np.float64)
    allowed = tolerance.atol + tolerance.rtol * np.abs(right)
    # "Not near" rather than "far": NaN is neither.
    wrong = ~(np.abs(got.astype(np.float64) - right) <= allowed)
    if wrong.any():
        rows = int(wrong.reshape(len(wrong), -1).any(axis=1).sum())
        raise WrongAnswer(f"{name}: wrong numbers in {rows} of {len(wrong)} rows")
