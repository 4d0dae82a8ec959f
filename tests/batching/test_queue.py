"""BatchQueue: callers get their own rows, together, in bounded numbers, and the queue drains."""

from __future__ import annotations

import asyncio
import contextvars
import math
import threading
from typing import Any

import numpy as np
import pytest

from gateway.batching import BatchLimits, BatchQueue, BatchRecord, QueueStatistics
from gateway.batching.collate import JOIN_ON_LOOP_BYTES
from gateway.messages import Deadline
from gateway.tensors import Tensor
from tests.batching.fakes import (
    FakeBackend,
    after,
    key_of,
    open_arm,
    outcome,
    request,
    when_told,
)
from tests.batching.virtual_time import run, settle


def test_a_lone_request_is_answered_at_once() -> None:
    async def main() -> None:
        backend = FakeBackend(after(0.25))
        async with open_arm(backend) as arm:
            served = await arm.serve(1, 2)
            assert served.outputs[0].array[:, 0].tolist() == [2, 4]
            assert (served.batch_rows, served.batch_requests) == (2, 1)
            assert (served.queue_s, served.backend_s) == (0.0, 0.25)
            assert arm.loop.time() == 0.25

    run(main)


def test_requests_of_one_loop_iteration_share_a_batch_and_get_their_own_rows() -> None:
    async def main() -> None:
        backend = FakeBackend()
        async with open_arm(backend) as arm:
            answers = await asyncio.gather(arm.ask(1), arm.ask(2, 3), arm.ask(4))
            assert [*answers] == [[2], [4, 6], [8]]
            assert backend.batches == [[1, 2, 3, 4]]
            assert backend.calls[0].rows == 4

    run(main)


def test_those_who_come_while_the_slot_is_taken_leave_together_when_it_frees() -> None:
    async def main() -> None:
        backend = FakeBackend(after(1.0))
        async with open_arm(backend) as arm, asyncio.TaskGroup() as group:
            for value in range(5):
                group.create_task(arm.ask(value))
                await settle()
        assert backend.batches == [[0], [1, 2, 3, 4]]

    run(main)


def test_as_many_batches_are_in_flight_as_there_are_slots() -> None:
    async def main() -> None:
        backend = FakeBackend(when_told)
        limits = BatchLimits(max_batch_rows=1, max_in_flight=2)
        async with open_arm(backend, limits) as arm, asyncio.TaskGroup() as group:
            for value in range(3):
                group.create_task(arm.ask(value))
            await settle()
            assert (arm.queue.in_flight, arm.queue.queued_requests) == (2, 1)
            for number in range(3):
                backend.calls[number].gate.set()
                await settle()
            assert arm.queue.in_flight == 0

    run(main)


def test_the_next_batch_leaves_before_the_callers_of_the_last_are_woken() -> None:
    async def main() -> None:
        backend = FakeBackend(after(1.0))
        calls_seen: list[int] = []
        async with open_arm(backend, BatchLimits(max_batch_rows=1)) as arm:

            async def ask(value: float) -> None:
                await arm.ask(value)
                calls_seen.append(len(backend.calls))

            async with asyncio.TaskGroup() as group:
                for value in range(3):
                    group.create_task(ask(value))
        assert calls_seen == [2, 3, 3]

    run(main)


def test_keys_never_share_a_batch() -> None:
    async def main() -> None:
        backend = FakeBackend()
        async with open_arm(backend) as arm:
            await asyncio.gather(arm.ask(1, width=3), arm.ask(2, width=4), arm.ask(3, width=3))
        assert backend.batches == [[1, 3], [2]]

    run(main)


def test_a_request_without_a_batch_dimension_travels_alone_and_is_answered_as_it_is() -> None:
    """Its output has another number of rows than its input: nothing is checked, nothing is cut."""

    async def main() -> None:
        backend = FakeBackend()
        inputs = request(1, 2, 3)
        key = key_of(inputs, batchable=False)
        deadline = Deadline(10.0)

        async def total(_call: object) -> tuple[Tensor, ...]:
            return (Tensor("sum", "FP32", np.full((), 6, np.float32)),)

        backend.answer = total
        async with open_arm(backend) as arm:
            both = await asyncio.gather(
                arm.queue.submit(key, inputs, 1, deadline),
                arm.queue.submit(key, inputs, 1, deadline),
            )
        assert [served.outputs[0].shape for served in both] == [(), ()]
        assert len(backend.calls) == 2

    run(main)


def test_a_request_without_a_batch_dimension_is_not_split() -> None:
    async def main() -> None:
        backend = FakeBackend()
        inputs = request(1, 2, 3)
        key = key_of(inputs, batchable=False)
        async with open_arm(backend, BatchLimits(max_batch_rows=2)) as arm:
            served = await arm.queue.submit(key, inputs, 3, Deadline(10.0))
        assert served.outputs[0].shape == (3, 3)
        assert backend.calls[0].inputs is inputs

    run(main)


def test_a_request_without_rows_is_answered_without_rows() -> None:
    async def main() -> None:
        backend = FakeBackend()
        async with open_arm(backend) as arm:
            assert [*await asyncio.gather(arm.ask(1), arm.ask(), arm.ask(2))] == [[2], [], [4]]
        assert backend.batches == [[1, 2], []]

    run(main)


def test_a_full_queue_refuses_at_once_and_says_how_full_it_is() -> None:
    async def main() -> None:
        backend = FakeBackend(when_told)
        limits = BatchLimits(max_batch_rows=2, max_queued_rows=3)
        async with open_arm(backend, limits) as arm, asyncio.TaskGroup() as group:
            group.create_task(arm.ask(0))
            await settle()
            group.create_task(arm.ask(1, 2))
            await settle()
            assert await outcome(arm.ask(3, 4)) == (
                "QueueFull: iris/tf: 2 rows are queued and at most 3 may be, this request has 2"
            )
            assert repr(arm.queue) == (
                "<BatchQueue iris/tf: 1 requests (2 rows) queued, 1 batches in flight, open>"
            )
            for _ in range(2):
                backend.calls[-1].gate.set()
                await settle()
        assert arm.queue.statistics() == QueueStatistics(
            queued_requests=0,
            queued_rows=0,
            in_flight=0,
            accepted=2,
            answered=2,
            failed=0,
            expired=0,
            left=0,
        )

    run(main)


def test_every_batch_is_told_of_once_with_its_numbers() -> None:
    async def main() -> None:
        backend = FakeBackend(after(1.0))
        limits = BatchLimits(max_batch_rows=3)
        async with open_arm(backend, limits) as arm, asyncio.TaskGroup() as group:
            group.create_task(arm.ask(0))
            await asyncio.sleep(0.25)
            group.create_task(arm.ask(1))
            await asyncio.sleep(0.25)
            group.create_task(arm.ask(2, 3))
            group.create_task(arm.ask(4))
        assert arm.records == [
            _record(1, 1, "slot_free", (0.0,)),
            _record(3, 2, "full", (0.75, 0.5)),
            _record(1, 1, "slot_free", (1.5,)),
        ]

    run(main)


def test_an_observer_that_fails_harms_no_request() -> None:
    async def main() -> None:
        heard: list[str] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, context: heard.append(str(context["exception"])))

        def observe(_record: BatchRecord) -> None:
            raise ValueError("no room for this record")

        async with open_arm(FakeBackend(), observe=observe) as arm:
            assert [await arm.ask(1), await arm.ask(2)] == [[2], [4]]
        assert heard == ["no room for this record"] * 2

    run(main)


def test_batches_do_not_run_in_the_context_of_the_caller_that_started_them() -> None:
    """A request id in a context variable must not leak into the call that carries its mates."""
    request_id = contextvars.ContextVar("request_id", default="none")

    async def main() -> None:
        seen: list[str] = []
        backend = FakeBackend()

        async def answer(_call: object) -> tuple[Tensor, ...]:
            seen.append(request_id.get())
            return request(1)

        backend.answer = answer
        async with open_arm(backend) as arm:
            await settle()
            request_id.set("r1")
            await arm.ask(1)
        assert seen == ["none"]

    run(main)


@pytest.mark.parametrize(("size_bytes", "is_in_thread"), [(0, False), (1, True)])
def test_a_large_join_leaves_the_loop(size_bytes: int, is_in_thread: bool) -> None:  # noqa: FBT001
    """The threshold is `JOIN_ON_LOOP_BYTES`: at it a batch is joined on the loop, above it aside."""
    threads: list[int] = []

    class Spy(np.ndarray):
        """An array that notes which thread concatenates it."""

        def __array_function__(self, *arguments: object) -> object:
            threads.append(threading.get_ident())
            return super().__array_function__(*arguments)  # type: ignore[arg-type]  # passed on

    async def main() -> None:
        half = np.zeros((1, JOIN_ON_LOOP_BYTES // 2 + size_bytes), np.uint8).view(Spy)
        inputs = (Tensor("x", "UINT8", half),)

        async def echo(*batch: Any, **_told: object) -> tuple[Tensor, ...]:
            assert len(batch[1][0].array) == 2  # who writes a batch down joins what is still apart
            return (Tensor("y", "UINT8", np.zeros((2, 1), np.uint8)),)

        queue = BatchQueue("iris/tf", BatchLimits(), echo, lambda _record: None)
        async with asyncio.TaskGroup() as group:
            group.create_task(queue.serve())
            await asyncio.gather(
                queue.submit(key_of(inputs), inputs, 1, Deadline(math.inf)),
                queue.submit(key_of(inputs), inputs, 1, Deadline(math.inf)),
            )
            queue.close()

    asyncio.run(main())
    assert [thread != threading.get_ident() for thread in threads] == [is_in_thread]


def _record(rows: int, requests: int, departure: str, queue_s: tuple[float, ...]) -> BatchRecord:
    return BatchRecord(
        rows=rows,
        requests=requests,
        departure=departure,  # type: ignore[arg-type]  # the test's literal
        queue_s=queue_s,
        backend_s=1.0,
        outcome="ok",
    )
