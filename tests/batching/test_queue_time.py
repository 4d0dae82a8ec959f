"""BatchQueue and time: deadlines and delays, on a clock that jumps."""

from __future__ import annotations

import asyncio
import time

import pytest

from gateway.batching import BatchLimits
from gateway.errors import BackendUnavailable, DeadlineExceeded
from tests.batching.fakes import Arm, FakeBackend, after, failing, open_arm, outcome, when_told
from tests.batching.virtual_time import run, settle, timers_set


def test_a_deadline_that_has_passed_already_is_refused() -> None:
    async def main() -> None:
        async with open_arm(FakeBackend()) as arm:
            assert await outcome(arm.ask(1, timeout_s=-0.25)) == (
                "DeadlineExceeded: iris/tf: the deadline passed 0.250 s before"
            )
            with pytest.raises(DeadlineExceeded):
                await arm.ask(1, timeout_s=float("nan"))
        assert arm.queue.statistics().accepted == 0

    run(main)


def test_a_request_expires_in_the_queue_at_its_deadline() -> None:
    async def main() -> None:
        backend = FakeBackend(after(5.0))
        async with open_arm(backend) as arm, asyncio.TaskGroup() as group:
            group.create_task(arm.ask(0))
            await settle()
            ahead = group.create_task(arm.ask(1, 2))
            await settle()
            late = await outcome(arm.ask(3, timeout_s=0.5))
            assert late == (
                "DeadlineExceeded: iris/tf: deadline passed after 0.500 s"
                " in the queue, 2 rows were ahead of it"
            )
            assert arm.loop.time() == pytest.approx(0.502)
            assert arm.queue.queued_rows == 2
            assert await ahead == [2, 4]
        assert backend.batches == [[0], [1, 2]]

    run(main)


def test_a_request_expires_in_flight_at_its_deadline_and_its_mates_go_on() -> None:
    async def main() -> None:
        backend = FakeBackend(after(5.0))
        async with open_arm(backend) as arm, asyncio.TaskGroup() as group:
            patient = group.create_task(arm.ask(1, timeout_s=9.0))
            hasty = group.create_task(outcome(arm.ask(2, timeout_s=0.5)))
            assert await hasty == (
                "DeadlineExceeded: iris/tf: deadline passed after 0.500 s"
                " of which 0.000 s in the queue and 0.500 s in flight"
            )
            assert arm.loop.time() == 0.5
            assert await patient == [2]
        assert arm.queue.statistics().expired == 1

    run(main)


def test_a_batch_has_the_latest_deadline_of_its_requests() -> None:
    async def main() -> None:
        backend = FakeBackend()
        async with open_arm(backend) as arm:
            await asyncio.gather(*[arm.ask(1, timeout_s=seconds) for seconds in (2.0, 7.0, 3.0)])
        assert backend.calls[0].deadline.at == 7.0

    run(main)


def test_a_stuck_backend_is_cancelled_at_the_last_deadline() -> None:
    """Nobody waits longer than its own deadline, and the slot is free again."""

    async def main() -> None:
        backend = FakeBackend(when_told)
        async with open_arm(backend) as arm:
            answers = await asyncio.gather(
                outcome(arm.ask(1, timeout_s=1.0)), outcome(arm.ask(2, timeout_s=2.0))
            )
            assert all(str(answer).startswith("DeadlineExceeded") for answer in answers)
            assert arm.loop.time() == 2.0
            await settle()
            assert backend.calls[0].was_cancelled
            backend.answer = after(0.0)
            assert await arm.ask(3) == [6]
        assert [record.outcome for record in arm.records] == ["deadline", "ok"]
        assert arm.records[0].backend_s == 2.0

    run(main)


def test_an_earlier_deadline_that_comes_later_is_kept() -> None:
    """The timer was set for another; it must be set anew."""

    async def main() -> None:
        backend = FakeBackend(after(50.0))
        async with open_arm(backend) as arm, asyncio.TaskGroup() as group:
            group.create_task(arm.ask(0, timeout_s=100.0))
            await settle()
            group.create_task(outcome(arm.ask(1, timeout_s=40.0)))
            await settle()
            await outcome(arm.ask(2, timeout_s=3.0))
            assert arm.loop.time() == pytest.approx(3.002)
            await outcome(arm.ask(3, timeout_s=5.0))
            assert arm.loop.time() == pytest.approx(8.002)

    run(main)


def test_a_hundred_deadlines_are_each_kept_to_the_millisecond() -> None:
    async def main() -> None:
        backend = FakeBackend(when_told)
        async with open_arm(backend, BatchLimits(max_batch_rows=1, max_in_flight=100)) as arm:

            async def expire(seconds: float) -> None:
                with pytest.raises(DeadlineExceeded):
                    await arm.ask(0, timeout_s=seconds)
                assert arm.loop.time() == pytest.approx(seconds, abs=0.0011)

            order = [(number * 37) % 100 / 16 + 1 for number in range(100)]
            await asyncio.gather(*[expire(seconds) for seconds in order])
        assert arm.queue.statistics().expired == 100

    run(main)


def test_there_is_one_timer_at_a_time() -> None:
    """However often an earlier deadline replaces it."""

    async def main() -> None:
        async with open_arm(FakeBackend(when_told)) as arm:
            await settle()
            asked = [outcome(arm.ask(0, timeout_s=100.0 - number)) for number in range(50)]
            async with asyncio.TaskGroup() as group:
                for asking in asked:
                    group.create_task(asking)
                    await asyncio.sleep(0)
                await asyncio.sleep(0)
                assert timers_set(arm.loop) == 1

    run(main)


async def _learn(arm: Arm) -> None:
    """Let three batches be answered, of which the first waits for nobody, and expect many more rows."""
    for _ in range(3):
        await arm.ask(0)
    arm.expect(100)


def test_a_batch_that_is_not_full_waits_for_its_delay() -> None:
    async def main() -> None:
        backend = FakeBackend(after(5.0))
        async with open_arm(backend, BatchLimits(max_delay_s=2.0)) as arm:
            await _learn(arm)
            async with asyncio.TaskGroup() as group:
                group.create_task(arm.ask(1, timeout_s=60.0))
                await asyncio.sleep(1.5)
                group.create_task(arm.ask(2, timeout_s=60.0))
            assert arm.loop.time() == 15.0 + 2.0 + 5.0
        assert backend.batches[3:] == [[1, 2]]
        assert arm.records[-1].departure == "delay"

    run(main)


def test_a_batch_that_failed_teaches_nothing_about_time() -> None:
    """A refusal comes fast; to wait because of it could cost a deadline."""

    async def main() -> None:
        backend = FakeBackend(failing(BackendUnavailable("gone")))
        async with open_arm(backend, BatchLimits(max_delay_s=60.0)) as arm:
            await outcome(arm.ask(0))
            backend.answer = after(0.25)
            await arm.ask(1)
            assert arm.loop.time() == 0.25

    run(main)


def test_a_full_batch_does_not_wait() -> None:
    async def main() -> None:
        backend = FakeBackend(after(0.25))
        async with open_arm(backend, BatchLimits(max_delay_s=60.0, max_batch_rows=2)) as arm:
            await arm.ask(0)
            await asyncio.gather(arm.ask(1), arm.ask(2))
            assert arm.loop.time() == 0.5

    run(main)


def test_a_delay_never_costs_a_request_its_deadline() -> None:
    async def main() -> None:
        backend = FakeBackend(after(5.0))
        async with open_arm(backend, BatchLimits(max_delay_s=4.5)) as arm:
            await _learn(arm)
            assert await arm.ask(1, timeout_s=14.0) == [2]
            assert arm.loop.time() == pytest.approx(15.0 + (14.0 - 2 * 5.0 - 0.005) + 5.0)
            assert arm.records[-1].departure == "deadline"

    run(main)


def test_closing_ends_the_delay() -> None:
    async def main() -> None:
        backend = FakeBackend(after(5.0))
        async with open_arm(backend, BatchLimits(max_delay_s=4.0)) as arm:
            await _learn(arm)
            async with asyncio.TaskGroup() as group:
                group.create_task(arm.ask(1, timeout_s=60.0))
                await asyncio.sleep(1.0)
                assert arm.queue.queued_rows == 1
                arm.queue.close()
        assert arm.loop.time() == 15.0 + 1.0 + 5.0

    run(main)


def test_an_hour_passes_in_less_than_a_second() -> None:
    """The virtual clock is what it claims to be; no other test measures real time."""
    started = time.monotonic()

    async def main() -> None:
        backend = FakeBackend(after(3600.0))
        async with open_arm(backend) as arm:
            await arm.ask(0, timeout_s=9999.0)
            assert arm.loop.time() == 3600.0

    run(main)
    assert time.monotonic() - started < 1.0
