"""BatchQueue from its beginning to its end: before it is served, when it is closed, when it is cancelled."""

from __future__ import annotations

import asyncio

from gateway.batching import BatchLimits
from tests.batching.fakes import Arm, FakeBackend, after, open_arm, outcome, when_told
from tests.batching.virtual_time import run, settle

_ONE_ROW = BatchLimits(max_batch_rows=1)


def test_closing_answers_all_that_was_accepted_and_nothing_after() -> None:
    async def main() -> None:
        backend = FakeBackend(after(1.0))
        async with open_arm(backend, _ONE_ROW) as arm:
            async with asyncio.TaskGroup() as group:
                asked = [group.create_task(arm.ask(value)) for value in range(4)]
                await settle()
                arm.queue.close()
                refusal = await outcome(arm.ask(9))
                assert refusal == "NotReady: iris/tf: takes no more requests"
                assert "closed" in repr(arm.queue)
            assert [task.result() for task in asked] == [[0], [2], [4], [6]]

    run(main)


def test_an_empty_queue_closes_at_once() -> None:
    async def main() -> None:
        async with open_arm(FakeBackend()) as arm:
            arm.queue.close()
            arm.queue.close()
        assert arm.loop.time() == 0.0

    run(main)


def test_requests_that_come_before_the_queue_is_served_wait_for_it() -> None:
    """Their deadlines hold meanwhile."""

    async def main() -> None:
        backend = FakeBackend()
        arm = Arm(backend)
        async with asyncio.TaskGroup() as group:
            patient = group.create_task(outcome(arm.ask(1)))
            hasty = group.create_task(outcome(arm.ask(2, timeout_s=1.0)))
            await asyncio.sleep(2.0)
            assert str(hasty.result()).startswith("DeadlineExceeded")
            assert not backend.calls
            group.create_task(arm.queue.serve())
            assert await patient == [2]
            arm.queue.close()

    run(main)


def test_a_cancelled_queue_leaves_nobody_waiting() -> None:
    """Neither in flight nor queued; the backend's call is cancelled, and nothing new is sent."""

    async def main() -> None:
        backend = FakeBackend(when_told)
        arm = Arm(backend, _ONE_ROW)
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(arm.queue.serve())
            asked = [group.create_task(outcome(arm.ask(value))) for value in range(3)]
            await settle()
            serving.cancel()
        assert [task.result() for task in asked] == [
            "NotReady: iris/tf: stopped while the request was in flight",
            "NotReady: iris/tf: stopped",
            "NotReady: iris/tf: stopped",
        ]
        assert [call.was_cancelled for call in backend.calls] == [True]
        assert await outcome(arm.ask(1)) == "NotReady: iris/tf: takes no more requests"
        assert arm.records[0].outcome == "not_ready"

    run(main)


def test_a_closed_queue_whose_last_caller_leaves_is_drained() -> None:
    """The last one queued, behind a batch that is in flight for another."""

    async def main() -> None:
        backend = FakeBackend(after(1.0))
        async with open_arm(backend, _ONE_ROW) as arm, asyncio.TaskGroup() as group:
            group.create_task(arm.ask(1))
            leaver = group.create_task(arm.ask(2))
            await settle()
            arm.queue.close()
            leaver.cancel()
        assert backend.batches == [[1]]

    run(main)


def test_a_closed_queue_whose_last_batch_is_left_is_drained() -> None:
    async def main() -> None:
        backend = FakeBackend(when_told)
        async with open_arm(backend) as arm, asyncio.TaskGroup() as group:
            leaver = group.create_task(arm.ask(1))
            await settle()
            arm.queue.close()
            await settle()
            leaver.cancel()
        assert backend.calls[0].was_cancelled

    run(main)
