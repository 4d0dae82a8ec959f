"""Which rate is tried next, and when is it enough? Pure but for what it is given."""

from __future__ import annotations

import math
from collections.abc import Callable

__all__ = ["highest_valid"]

_FACTOR = 2.0


def highest_valid(
    is_valid: Callable[[float], bool], *, start: float, precision: float, most: int
) -> float | None:
    """The highest rate that was found valid, None where none was.

    It doubles or halves until it has a valid and an invalid rate, and then halves what is between them.

    Args:
        is_valid: Tries a rate.
        start: The first rate.
        precision: How much higher than the valid one the invalid one may be at the end: 0.05 for 5 %.
        most: Rates to be tried at most.
    """
    valid, invalid, rate = 0.0, math.inf, start
    for _ in range(most):
        if is_valid(rate):
            valid = rate
        else:
            invalid = rate
        if invalid <= valid * (1 + precision):
            break
        if invalid == math.inf:
            rate = valid * _FACTOR
        else:
            rate = math.sqrt(valid * invalid) if valid else invalid / _FACTOR
    return valid or None
