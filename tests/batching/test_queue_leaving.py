"""BatchQueue when callers leave: at any moment, in any number, and never at the cost of their mates."""

from __future__ import annotations

import asyncio

import pytest

from gateway.batching import BatchLimits, BatchRecord
from tests.batching.fakes import FakeBackend, after, open_arm, when_told
from tests.batching.virtual_time import run, settle

_ONE_ROW = BatchLimits(max_batch_rows=1)


def test_who_leaves_the_queue_is_gone_at_once_and_is_not_sent() -> None:
    async def main() -> None:
        backend = FakeBackend(after(1.0))
        async with open_arm(backend) as arm, asyncio.TaskGroup() as group:
            group.create_task(arm.ask(0))
            await settle()
            leaver = group.create_task(arm.ask(1))
            stayer = group.create_task(arm.ask(2))
            await settle()
            assert arm.queue.queued_rows == 2
            leaver.cancel()
            await settle()
            assert arm.queue.queued_rows == 1
            assert await stayer == [4]
        assert backend.batches == [[0], [2]]
        assert arm.queue.statistics().left == 1

    run(main)


def test_a_batch_that_everyone_left_before_it_was_sent_is_not_sent() -> None:
    """All leave in the loop iteration in which the batch is formed, before its task takes a step."""

    async def main() -> None:
        backend = FakeBackend()
        async with open_arm(backend) as arm:
            async with asyncio.TaskGroup() as group:
                leavers = [group.create_task(arm.ask(value)) for value in range(3)]
                await asyncio.sleep(0)  # they submit, which schedules the batch
                await asyncio.sleep(0)  # the batch is formed
                assert arm.queue.in_flight == 1
                for leaver in leavers:
                    leaver.cancel()
            assert not backend.calls
            assert await arm.ask(7) == [14]
        assert arm.records[0] == BatchRecord(
            rows=0,
            requests=3,
            departure="slot_free",
            queue_s=(0.0, 0.0, 0.0),
            backend_s=0.0,
            outcome="caller_left",
            was_sent=False,
        )

    run(main)


def test_those_who_left_before_the_batch_was_sent_are_not_in_it() -> None:
    async def main() -> None:
        backend = FakeBackend()
        async with open_arm(backend) as arm:
            async with asyncio.TaskGroup() as group:
                leaver = group.create_task(arm.ask(1))
                stayer = group.create_task(arm.ask(2))
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                assert arm.queue.in_flight == 1
                leaver.cancel()
            assert stayer.result() == [4]
        assert backend.batches == [[2]]

    run(main)


def test_a_batch_in_flight_goes_on_for_a_single_caller_that_stays() -> None:
    async def main() -> None:
        backend = FakeBackend(when_told)
        async with open_arm(backend) as arm, asyncio.TaskGroup() as group:
            *leavers, stayer = [group.create_task(arm.ask(value)) for value in range(5)]
            await settle()
            for leaver in leavers:
                leaver.cancel()
            await settle()
            backend.calls[0].gate.set()
            assert await stayer == [8]
        assert not backend.calls[0].was_cancelled

    run(main)


def test_a_batch_in_flight_that_everyone_left_is_cancelled_and_frees_its_slot() -> None:
    async def main() -> None:
        backend = FakeBackend(when_told)
        async with open_arm(backend, _ONE_ROW) as arm, asyncio.TaskGroup() as group:
            leaver = group.create_task(arm.ask(1))
            await settle()
            stayer = group.create_task(arm.ask(2))
            leaver.cancel()
            await settle()
            assert [call.was_cancelled for call in backend.calls] == [True, False]
            backend.calls[1].gate.set()
            assert await stayer == [4]
        assert [record.outcome for record in arm.records] == ["caller_left", "ok"]

    run(main)


def test_a_backend_that_is_slow_to_stop_holds_its_slot_until_it_has() -> None:
    async def main() -> None:
        backend = FakeBackend()

        async def stop_slowly(_call: object) -> None:
            try:
                await asyncio.sleep(100)
            finally:
                await asyncio.sleep(1)

        backend.answer = stop_slowly  # type: ignore[assignment]  # it never answers
        async with open_arm(backend) as arm, asyncio.TaskGroup() as group:
            leaver = group.create_task(arm.ask(1))
            await settle()
            leaver.cancel()
            await settle()
            assert arm.queue.in_flight == 1
            await asyncio.sleep(1)
            assert arm.queue.in_flight == 0

    run(main)


def test_an_answer_that_arrives_as_its_caller_leaves_hurts_nobody() -> None:
    """The caller is cancelled after its answer was set, before it ran."""

    async def main() -> None:
        backend = FakeBackend(when_told)
        async with open_arm(backend) as arm, asyncio.TaskGroup() as group:
            leaver, stayer = group.create_task(arm.ask(1)), group.create_task(arm.ask(2))
            await settle()
            backend.calls[0].gate.set()
            await asyncio.sleep(0)  # the backend answers, the next batch is sent
            await asyncio.sleep(0)  # the callers' futures are set
            assert arm.queue.statistics().answered == 2
            leaver.cancel()
            assert await stayer == [4]
            await settle()
            assert leaver.cancelled()
        assert arm.queue.statistics().left == 0

    run(main)


@pytest.mark.parametrize("turns", range(8))
def test_leaving_after_any_number_of_turns_of_the_loop_hurts_nobody(turns: int) -> None:
    async def main() -> None:
        backend = FakeBackend(after(0.0))
        async with open_arm(backend) as arm, asyncio.TaskGroup() as group:
            leaver, stayer = group.create_task(arm.ask(1)), group.create_task(arm.ask(2))
            for _ in range(turns):
                await asyncio.sleep(0)
            leaver.cancel()
            assert await stayer == [4]
        statistics = arm.queue.statistics()
        assert statistics.answered + statistics.left == statistics.accepted

    run(main)
