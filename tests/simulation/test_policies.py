"""Our policy beside five others, as experimentation first found them: late binding wins, early forming collapses.

One device that takes 5 + 0.5 n ms for n requests, at most 32 of them, so at most 1524 a second; waits of
10 ms; Poisson arrivals. The expected milliseconds are of another simulation, written by somebody else, whose
figures are rounded to two or three digits: ours are held to 6 % or half a millisecond of them.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from random import Random
from typing import Any

import pytest

from gateway.batching import BatchLimits
from gateway.batching.plan import Plan
from gateway.simulation.arrivals import Mix, OpenLoop, poisson
from gateway.simulation.backend import Backend
from gateway.simulation.curve import LatencyCurve, Point
from gateway.simulation.driver import Scheduler, Simulation
from gateway.simulation.policies import (
    Cork,
    FormEarly,
    OldestWaits,
    WindowFromIdle,
    WindowFromReceive,
)
from gateway.simulation.requests import Request
from gateway.simulation.summary import latencies_s, percentile

_CURVE = LatencyCurve([Point(1, 0.0055), Point(32, 0.021)])
_MAX_ROWS, _WAIT_S = 32, 0.010
_RATES = (50, 400, 800, 1200, 1400)
_REQUESTS = 40_000


def ours() -> Plan[Request]:
    return Plan(BatchLimits(max_batch_rows=_MAX_ROWS, max_queued_rows=_REQUESTS))


def p50_and_p99_ms(scheduler: Scheduler[Any], rate: float, requests: int) -> tuple[float, float]:
    simulation = Simulation(scheduler, Backend(_CURVE.at), max_batch_rows=_MAX_ROWS)
    arrivals = islice(poisson(rate, Mix(), Random(1)), requests)
    found = latencies_s(simulation.run(OpenLoop(arrivals)))
    assert len(found) == requests
    return percentile(found, 50) * 1e3, percentile(found, 99) * 1e3


def close_to(expected_ms: float) -> object:
    return pytest.approx(expected_ms, rel=0.06, abs=0.5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (ours, ["5.5/10.9", "9.8/14.9", "13/21", "19.5/33", "26/45"]),
        (
            lambda: OldestWaits(_MAX_ROWS, _WAIT_S),
            ["15.5/17", "14.3/19.5", "15.8/23", "20/33", "26/45"],
        ),
        (
            lambda: WindowFromReceive(_MAX_ROWS, _WAIT_S),
            ["15.5/21.5", "18.6/30.5", "28/45", "33/50", "34/50"],
        ),
        (lambda: FormEarly(_MAX_ROWS, _WAIT_S), ["15.5/17", "14.3/19.5", "16/23"]),
        (lambda: Cork(_MAX_ROWS), ["5.5/10.9", "9.8/14.9", "13/21", "19/33", "26/45"]),
    ],
    ids=["ours", "oldest waits", "window from receive", "form early", "cork"],
)
def test_every_policy_does_as_was_found_before(
    policy: Callable[[], Scheduler[Any]], expected: list[str]
) -> None:
    """p50/p99 in ms at each rate."""
    for rate, told in zip(_RATES, expected, strict=False):
        wanted = [float(number) for number in told.split("/")]
        found = p50_and_p99_ms(policy(), rate, _REQUESTS)
        assert list(found) == [close_to(number) for number in wanted], rate


@pytest.mark.slow
def test_forming_early_collapses_at_79_percent_of_capacity() -> None:
    """At 1200 of 1524 the queue grows as long as requests come; the others hold 1400."""
    found = [p50_and_p99_ms(FormEarly(_MAX_ROWS, _WAIT_S), 1200, n)[0] for n in (10_000, 40_000)]
    assert found[0] > 100
    assert found[1] > 2 * found[0]


@pytest.mark.slow
def test_windows_of_an_idle_device_cost_half_a_window_less_where_little_comes() -> None:
    """And as much as those from the first request, where much does."""
    idle, receive = (
        [p50_and_p99_ms(policy(_MAX_ROWS, _WAIT_S), rate, _REQUESTS // 4)[0] for rate in (50, 1400)]
        for policy in (WindowFromIdle, WindowFromReceive)
    )
    assert idle[0] < receive[0] - 2
    assert idle[1] == close_to(receive[1])


def test_no_policy_is_faster_than_ours_where_requests_are_few() -> None:
    """A timer is paid by those who come alone."""
    alone_ms = p50_and_p99_ms(ours(), 20, 500)[0]
    assert alone_ms == pytest.approx(5.5)
    for policy in (OldestWaits, WindowFromReceive, WindowFromIdle, FormEarly):
        assert p50_and_p99_ms(policy(_MAX_ROWS, _WAIT_S), 20, 500)[0] > alone_ms + 2
