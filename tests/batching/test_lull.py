"""Lull: whether the gateway has anything else to do before a batch is bound."""

from __future__ import annotations

import asyncio
import itertools

from gateway.batching import BatchLimits
from gateway.batching.lull import Lull
from tests.batching.desk import Desk
from tests.batching.fakes import FakeBackend, after, open_arm
from tests.batching.virtual_time import run, settle

PRESSED = itertools.count(step=1000).__next__
"""The clock of a thread that computes all the time, and more."""


def test_it_is_here_when_nobody_came_for_six_turns() -> None:
    lull = Lull()
    lull.await_from(1.0, came=7)
    assert [lull.is_here(1.0, 7) for _ in range(6)] == [False] * 5 + [True]


def test_whoever_comes_puts_it_off() -> None:
    lull = Lull()
    lull.await_from(1.0, came=7)
    assert not any(lull.is_here(1.0, came) for came in (7, 7, 7, 7, 7, 8, 8, 8, 8, 8, 8))
    assert lull.is_here(1.0, 8)


def test_it_is_awaited_for_five_milliseconds_at_most() -> None:
    lull = Lull()
    lull.await_from(1.0, came=0)
    assert not lull.is_here(1.0049, 1)
    assert lull.is_here(1.0051, 2)
    lull.await_from(2.0, came=2)
    assert not lull.is_here(2.0049, 3)


def test_a_full_batch_and_a_near_deadline_are_urgent() -> None:
    desk = Desk(BatchLimits(max_batch_rows=2))
    desk.learn(0.01)
    assert not desk.plan.is_urgent(0.005)
    desk.offer(deadline=9.0)
    assert not desk.plan.is_urgent(0.005)
    assert desk.plan.is_urgent(9.0)
    desk.offer(deadline=9.0)
    assert desk.plan.is_urgent(0.005)


async def _batches_of_three_who_come_apart(*, is_pressed: bool) -> list[list[float]]:
    """Ask three times, a turn of the loop apart, just when an answer comes."""
    backend = FakeBackend(after(1.0))
    clock = PRESSED if is_pressed else lambda: 0.0
    limits = BatchLimits(max_in_flight=1, min_in_flight=1)
    async with open_arm(backend, limits, cpu_clock=clock) as arm, asyncio.TaskGroup() as group:
        await arm.ask(0)
        await arm.ask(0)
        for value in (1, 2, 3):
            group.create_task(arm.ask(value))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
    return backend.batches[2:]


def test_a_gateway_short_of_time_reads_first_and_then_sends() -> None:
    assert run(lambda: _batches_of_three_who_come_apart(is_pressed=True)) == [[1, 2, 3]]


def test_a_gateway_that_has_time_sends_at_once() -> None:
    assert run(lambda: _batches_of_three_who_come_apart(is_pressed=False)) == [[1], [2, 3]]


def test_a_gateway_short_of_time_sends_a_full_batch_at_once() -> None:
    async def main() -> None:
        backend = FakeBackend(after(1.0))
        limits = BatchLimits(max_batch_rows=2, max_in_flight=1, min_in_flight=1)
        async with (
            open_arm(backend, limits, cpu_clock=PRESSED) as arm,
            asyncio.TaskGroup() as group,
        ):
            await arm.ask(0)
            await arm.ask(0)
            for value in (1, 2):
                group.create_task(arm.ask(value))
            for _ in range(3):
                await asyncio.sleep(0)
            assert backend.batches[2:] == [[1, 2]]

    run(main)


def test_one_that_closes_waits_for_nobody() -> None:
    async def main() -> None:
        backend = FakeBackend(after(1.0))
        async with open_arm(backend, cpu_clock=PRESSED) as arm, asyncio.TaskGroup() as group:
            await arm.ask(0)
            await arm.ask(0)
            group.create_task(arm.ask(1))
            await asyncio.sleep(0)
            arm.queue.close()
            for _ in range(2):
                await asyncio.sleep(0)
            assert arm.queue.in_flight == 1
            await settle()

    run(main)
