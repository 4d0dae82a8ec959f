"""BatchQueue with requests that are larger than a batch."""

from __future__ import annotations

import asyncio

from gateway.batching import BatchLimits
from gateway.errors import BackendUnavailable
from gateway.tensors import Tensor
from tests.batching.fakes import Call, FakeBackend, after, double, open_arm, outcome, when_told
from tests.batching.virtual_time import run, settle


def test_a_large_request_is_sent_in_pieces_and_rejoined_in_order() -> None:
    async def main() -> None:
        backend = FakeBackend(after(1.0))
        async with open_arm(backend, BatchLimits(max_batch_rows=3)) as arm:
            served = await arm.serve(*range(8))
        assert served.outputs[0].array[:, 0].tolist() == [2 * value for value in range(8)]
        assert backend.batches == [[0, 1, 2], [3, 4, 5], [6, 7]]
        assert (served.batch_rows, served.batch_requests) == (3, 1)
        assert (served.queue_s, served.backend_s) == (2.0, 1.0)  # of the piece answered last

    run(main)


def test_a_request_of_exactly_one_batch_is_not_split() -> None:
    async def main() -> None:
        backend = FakeBackend()
        async with open_arm(backend, BatchLimits(max_batch_rows=3)) as arm:
            await arm.ask(1, 2, 3)
            await arm.ask(*range(6))
        assert [call.rows for call in backend.calls] == [3, 3, 3]

    run(main)


def test_pieces_that_are_answered_out_of_order_are_rejoined_in_order() -> None:
    async def main() -> None:
        backend = FakeBackend(when_told)
        limits = BatchLimits(max_batch_rows=2, max_in_flight=3)
        async with open_arm(backend, limits) as arm, asyncio.TaskGroup() as group:
            asked = group.create_task(arm.ask(*range(6)))
            await settle()
            for call in reversed(backend.calls):
                call.gate.set()
                await settle()
            assert await asked == [0, 2, 4, 6, 8, 10]

    run(main)


def test_the_last_piece_shares_its_batch_with_others() -> None:
    async def main() -> None:
        backend = FakeBackend()
        async with open_arm(backend, BatchLimits(max_batch_rows=4)) as arm:
            large, small = await asyncio.gather(arm.ask(*range(6)), arm.ask(9))
        assert (large, small) == ([0, 2, 4, 6, 8, 10], [18])
        assert backend.batches == [[0, 1, 2, 3], [4, 5, 9]]

    run(main)


def test_pieces_are_accepted_all_or_none() -> None:
    async def main() -> None:
        backend = FakeBackend(when_told)
        limits = BatchLimits(max_batch_rows=2, max_queued_rows=6)
        async with open_arm(backend, limits) as arm, asyncio.TaskGroup() as group:
            group.create_task(arm.ask(0))
            await settle()
            group.create_task(arm.ask(1))
            await settle()
            assert str(await outcome(arm.ask(*range(6)))).startswith("QueueFull")
            assert arm.queue.queued_rows == 1
            for _ in range(2):
                backend.calls[-1].gate.set()
                await settle()

    run(main)


def test_a_request_that_could_never_be_queued_is_the_callers_fault() -> None:
    async def main() -> None:
        async with open_arm(FakeBackend(), BatchLimits(max_batch_rows=2, max_queued_rows=6)) as arm:
            assert await outcome(arm.ask(*range(7))) == (
                "InvalidRequest: inputs: got 7 rows, iris/tf takes at most 6 at once"
            )

    run(main)


def test_a_piece_that_fails_fails_the_request_at_once_and_stops_its_other_pieces() -> None:
    """The second piece fails while the first is in flight: nobody waits for the first."""

    async def main() -> None:
        async def fail_second(call: Call) -> tuple[Tensor, ...]:
            if call.values[0] == 2:
                await asyncio.sleep(1)
                raise BackendUnavailable("gone")
            await asyncio.sleep(100)
            return await double(call)

        backend = FakeBackend(fail_second)
        limits = BatchLimits(max_batch_rows=2, max_in_flight=2)
        async with open_arm(backend, limits) as arm:
            answer = await outcome(arm.ask(*range(8), timeout_s=500.0))
            assert answer == "BackendUnavailable: gone"
            assert arm.loop.time() == 1.0
            assert arm.queue.queued_rows == 0
            await settle()
            assert arm.queue.in_flight == 0
        # The third took the slot of the second before its caller could know; the fourth was not sent.
        assert backend.batches == [[0, 1], [2, 3], [4, 5]]
        assert [call.was_cancelled for call in backend.calls] == [True, False, True]

    run(main)


def test_a_caller_that_leaves_takes_all_its_pieces_along() -> None:
    async def main() -> None:
        backend = FakeBackend(when_told)
        async with open_arm(backend, BatchLimits(max_batch_rows=2)) as arm:
            async with asyncio.TaskGroup() as group:
                leaver = group.create_task(arm.ask(*range(6)))
                await settle()
                assert (arm.queue.in_flight, arm.queue.queued_rows) == (1, 4)
                leaver.cancel()
            await settle()
            assert (arm.queue.in_flight, arm.queue.queued_rows) == (0, 0)
        assert [call.was_cancelled for call in backend.calls] == [True]

    run(main)


def test_a_large_request_expires_once() -> None:
    async def main() -> None:
        backend = FakeBackend(when_told)
        async with open_arm(backend, BatchLimits(max_batch_rows=2)) as arm:
            answer = await outcome(arm.ask(*range(6), timeout_s=1.5))
            assert str(answer).startswith("DeadlineExceeded")
            assert arm.loop.time() == 1.5
            await settle()
            assert (arm.queue.in_flight, arm.queue.queued_rows) == (0, 0)

    run(main)


def test_pieces_whose_answers_do_not_fit_together_are_the_backends_fault() -> None:
    async def main() -> None:
        backend = FakeBackend()

        async def pad(call: Call) -> tuple[Tensor, ...]:
            array = call.inputs[0].array
            return (Tensor("y", "FP32", array[:, : len(backend.calls)]),)

        backend.answer = pad
        async with open_arm(backend, BatchLimits(max_batch_rows=2)) as arm:
            answer = await outcome(arm.ask(1, 2, 3))
            assert str(answer).startswith("BackendInvalid: got outputs")

    run(main)
