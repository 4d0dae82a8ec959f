"""When are requests due? Pure, and seeded."""

from __future__ import annotations

import numpy as np

from loadtests.open_loop import poisson
from loadtests.open_loop.arrivals import Times

__all__ = ["surge", "timed"]


def surge(phases: list[tuple[float, float]], *, seed: int) -> Times:
    """Poisson arrivals at one rate after the other; each phase is (requests/s, seconds)."""
    start, parts = 0.0, []
    for index, (rate_per_s, seconds) in enumerate(phases):
        arrivals = poisson(rate_per_s=rate_per_s, seconds=seconds, seed=seed + index)
        parts.append(start + arrivals)
        start += seconds
    return np.concatenate(parts)


def timed(request: bytes, timeout_ms: float) -> bytes:
    """The same HTTP request, which tells Tandem how long its caller waits."""
    head, blank, body = request.partition(b"\r\n\r\n")
    return b"%s\r\nX-Tandem-Timeout-Ms: %g%s%s" % (head, timeout_ms, blank, body)
