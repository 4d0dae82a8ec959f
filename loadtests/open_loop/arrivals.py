"""When is each request due? Pure, and seeded: the same times for every server."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["Times", "poisson"]

Times = npt.NDArray[np.float64]


def poisson(*, rate_per_s: float, seconds: float, seed: int) -> Times:
    """Ascending seconds from the start, `[requests]`, below `seconds`; gaps are exponential.

    There are `rate_per_s * seconds` of them, rounded: a short run offers what it says, where their number would
    vary by its root.
    """
    number = round(rate_per_s * seconds)
    # Given their number, the arrivals of a Poisson process are uniform.
    return np.sort(np.random.default_rng(seed).uniform(0.0, seconds, number))
