"""Which limits are the best for a load, and how many replicas does it need? Whatever predicts is asked often."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from gateway.batching.limits import BatchLimits
from gateway.simulation.planning import Prediction

__all__ = ["best_limits", "replicas_for"]

_MAX_TIMES_REPLICAS = 64
_SAME_RATIO = 1.05


def best_limits(
    limits: BatchLimits,
    evaluate: Callable[[BatchLimits], Prediction],
    *,
    max_rows: int,
    wait_s: float,
    percent: float,
) -> list[Prediction]:
    """What was tried in place of `limits`, the best first.

    One limit is moved at a time: the rows of a batch, then the wait, then the batches in flight. What is
    about as good as the best (5 %) is taken for as good, and then waits less and has fewer in flight.

    Args:
        limits: Where to begin.
        evaluate: What is to be expected of these.
        max_rows: No batch larger than that is suggested: nothing is known of them.
        wait_s: The longest wait to try.
        percent: The percentile of latency to be lowest.
    """
    tried: dict[tuple[int, float, int], Prediction] = {}

    def best_of(candidates: list[BatchLimits]) -> BatchLimits:
        for one in candidates:
            name = (one.max_batch_rows, one.max_delay_s, one.max_in_flight)
            if name not in tried:
                tried[name] = evaluate(one)
        return _ranked(list(tried.values()), percent)[0].limits

    sizes = _sizes(max_rows)
    best = best_of([replace(limits, max_batch_rows=rows, max_delay_s=0.0) for rows in sizes])
    best = best_of([replace(best, max_delay_s=wait) for wait in (wait_s / 4, wait_s / 2, wait_s)])
    best_of([replace(best, max_in_flight=2 * limits.max_in_flight)])
    return _ranked(list(tried.values()), percent)


def replicas_for(
    slo_s: float, percent: float, evaluate: Callable[[int], Prediction], bounds: tuple[int, int]
) -> Prediction | None:
    """The fewest replicas, from the least to the most, whose `percent` stays within `slo_s` in every run.

    None if the most, or 64 times the least, do not either: then it is the batch itself that takes too long.
    """
    least, most = bounds
    most = min(most, least * _MAX_TIMES_REPLICAS)

    def suffices(found: Prediction) -> bool:
        return found.is_lasting and found.percentiles_s[percent].high <= slo_s

    failed, step = least - 1, 1
    found = evaluate(least)
    while not suffices(found):
        failed = found.replicas
        if failed >= most:
            return None
        found = evaluate(min(failed + step, most))
        step *= 2
    while found.replicas - failed > 1:
        middle = evaluate((failed + found.replicas) // 2)
        if suffices(middle):
            found = middle
        else:
            failed = middle.replicas
    return found


def _sizes(max_rows: int) -> list[int]:
    """Powers of two up to `max_rows`, and `max_rows`."""
    return [2**power for power in range(max_rows.bit_length()) if 2**power < max_rows] + [max_rows]


def _ranked(found: list[Prediction], percent: float) -> list[Prediction]:
    """The best first: those that last, by latency; the others by capacity."""
    lasting = [one for one in found if one.is_lasting]
    lowest = min((one.percentiles_s[percent].middle for one in lasting), default=math.nan)

    def rank(one: Prediction) -> tuple[object, ...]:
        if not one.is_lasting:
            return (2, -one.capacity_rows_per_s)
        latency_s = one.percentiles_s[percent].middle
        if latency_s > lowest * _SAME_RATIO:
            return (1, latency_s)
        limits = one.limits
        return (0, limits.max_delay_s, limits.max_in_flight, -one.capacity_rows_per_s)

    return sorted(found, key=rank)
