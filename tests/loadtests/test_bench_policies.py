"""Policies in real time, before a backend that a test ends."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from loadtests.bench_policies.drive import drive
from loadtests.bench_policies.policies import OURS, POLICIES, TITLES
from loadtests.bench_policies.section import section, targets
from loadtests.results import Row
from tests.loadtests.reports import report

MAX_ROWS = 4


@pytest.mark.parametrize("policy", POLICIES)
def test_every_request_is_answered_once(policy: str) -> None:
    """In batches within the limit, one at a time; those that come together while it is busy share one."""

    async def story() -> None:
        sent: list[int] = []
        at_once = 0

        async def send(numbers: Sequence[int]) -> None:
            nonlocal at_once
            at_once += 1
            assert at_once == 1
            assert 1 <= len(numbers) <= MAX_ROWS
            await asyncio.sleep(0.001)
            sent.extend(numbers)
            at_once -= 1

        due = [index * 0.0002 for index in range(101)]
        async with asyncio.timeout(30):
            driven = await drive(POLICIES[policy](MAX_ROWS, 0.002), due, send)
        assert sorted(sent) == list(range(101))
        assert sum(driven.batches) == 101
        assert max(driven.batches) > 1
        assert all(latency > 0 for latency in driven.latencies_s)
        assert len(driven.late_s) == 101

    asyncio.run(story())


def test_nothing_to_send_is_nothing_to_wait_for() -> None:
    async def story() -> None:
        async def send(_: Sequence[int]) -> None:
            raise AssertionError

        driven = await drive(POLICIES[OURS](MAX_ROWS, 0.0), [], send)
        assert driven.batches == []

    asyncio.run(story())


def row(policy: str, load: float, p50_ms: float, p99_ms: float) -> Row:
    return {"policy": policy, "load": load, "p50_ms": p50_ms, "p99_ms": p99_ms}


ROWS = [
    row(OURS, 0.5, 10.0, 20.0),
    row(OURS, 0.5, 14.0, 30.0),
    row("cork", 0.5, 10.0, 25.0),
    row("form-early", 0.5, 30.0, 100.0),
]


def test_the_targets_compare_medians_with_the_best_other() -> None:
    p50, p99 = targets(ROWS)
    assert (p50.got, p99.got) == (1.2, 1.0)
    assert (p50.met, p99.met) == (False, True)
    assert all(target.met is None for target in targets(ROWS[:2]))


def test_the_section_has_a_line_for_each_policy_that_was_measured() -> None:
    text = section(report(ROWS, targets(ROWS)))
    assert f"| {TITLES[OURS]} | 12.0 / 25.0 |" in text
    assert TITLES["form-early"] in text
    assert TITLES["oldest-waits"] not in text
