"""How long do batches of each size take, and what comes on top? Measured through the gateway, by a lone caller.

The times of batches are the gateway's own statistics, before and after; what a caller waits longer than that
is the overhead, and how much its times vary the spread.
"""

from __future__ import annotations

import json
import statistics
import sys
import urllib.request
from collections.abc import Mapping
from typing import Any

import numpy as np

from loadtests.bench_plan.asked import Asked
from loadtests.open_loop import offer

__all__ = ["measure"]

_WARM = 5


def measure(asked: Asked, address: str, *, sizes: list[int], seconds: float) -> dict[str, Any]:
    """A file for `tandem plan --curve`: points, spread and overhead.

    Args:
        asked: What is asked.
        address: The gateway's, `host:port`.
        sizes: Rows of the batches to measure.
        seconds: In all.
    """
    points, spreads, overheads_ms = [], [], []
    for rows in sizes:
        took_ms = _alone_ms(asked, address, rows, _WARM)
        number = max(10, round(seconds / len(sizes) / (statistics.median(took_ms) / 1e3)))
        before = _batches(asked, address, rows)
        took_ms = _alone_ms(asked, address, rows, number)
        after = _batches(asked, address, rows)
        count = after["count"] - before["count"]
        mean_ms = (after["ns"] - before["ns"]) / 1e6 / count
        points.append({"rows": rows, "ms": mean_ms, "batches": count})
        spreads.append(_spread_ms(took_ms) / mean_ms)
        overheads_ms.append(statistics.fmean(took_ms) - mean_ms)
    return {
        "points": points,
        "spread_ratio": statistics.median(spreads),
        "overhead_ms": statistics.median(overheads_ms),
    }


def _alone_ms(asked: Asked, address: str, rows: int, number: int) -> list[float]:
    """Each of `number` requests, one after the other over one connection."""
    offered = offer(address, [asked.request(rows)], np.zeros(number), connections=1, grace_s=60.0)
    wrong = [a for a in offered.answers if a is None or a.status != 200]  # noqa: PLR2004 - OK
    if wrong:
        sys.exit(f"{asked.model}: {len(wrong)} of {number} requests failed: {wrong[0]}")
    return [float(gap) * 1e3 for gap in np.diff(offered.answered_s, prepend=0.0)]


def _spread_ms(took_ms: list[float]) -> float:
    """The standard deviation without the slowest hundredth: of batches, not of a machine that stopped."""
    kept = sorted(took_ms)[: max(2, len(took_ms) * 99 // 100)]
    return statistics.stdev(kept)


def _batches(asked: Asked, address: str, rows: int) -> Mapping[str, int]:
    url = f"http://{address}/v2/models/{asked.model}/stats"
    with urllib.request.urlopen(url, timeout=10) as answer:
        (told,) = json.load(answer)["model_stats"]
    found = {size["batch_size"]: size["compute_infer"] for size in told["batch_stats"]}
    spent: Mapping[str, int] = found.get(rows, {"count": 0, "ns": 0})
    return spent
