"""When is each request due? Pure, and seeded: the same times for every server."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["Times", "poisson"]

Times = npt.NDArray[np.float64]


def poisson(*, rate_per_s: float, seconds: float, seed: int) -> Times:
    """Ascending seconds from the start, `[requests]`, below `seconds`; gaps are exponential.

    The number of arrivals varies, as it does for real: its mean is `rate_per_s * seconds`.
    """
    rng = np.random.default_rng(seed)
    number = int(rng.poisson(rate_per_s * seconds))
    # Given their number, the arrivals of a Poisson process are uniform.
    return np.sort(rng.uniform(0.0, seconds, number))
