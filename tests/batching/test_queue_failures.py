"""BatchQueue when batches fail: who gets which error, and who does not."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import weakref

import pytest

from gateway.batching import BatchLimits
from gateway.errors import (
    BackendInvalid,
    BackendRefused,
    BackendTimeout,
    BackendUnavailable,
    GatewayError,
    QueueFull,
)
from gateway.messages import Deadline
from gateway.tensors import Tensor
from tests.batching.fakes import (
    Answer,
    Call,
    FakeBackend,
    after,
    double,
    failing,
    key_of,
    open_arm,
    outcome,
    request,
    when_told,
)
from tests.batching.virtual_time import run, settle


def test_a_batch_that_fails_fails_its_members_and_nobody_else() -> None:
    async def main() -> None:
        backend = FakeBackend()

        async def fail_once(_call: Call) -> tuple[Tensor, ...]:
            backend.answer = double
            raise BackendUnavailable("it is gone")

        backend.answer = fail_once
        async with open_arm(backend, BatchLimits(max_batch_rows=2)) as arm:
            answers = await asyncio.gather(*[outcome(arm.ask(value)) for value in range(4)])
        assert answers == ["BackendUnavailable: it is gone"] * 2 + [[4], [6]]
        assert [record.outcome for record in arm.records] == ["backend_unavailable", "ok"]
        assert arm.queue.statistics().failed == 2

    run(main)


@pytest.mark.parametrize(
    "error",
    [
        BackendUnavailable("no connection", path="here"),
        BackendTimeout("no answer in 3 s"),
        BackendInvalid("nonsense"),
        QueueFull("its queue is full", retry_after_s=7.0),
    ],
)
def test_every_member_gets_the_error_as_an_object_of_its_own(error: GatewayError) -> None:
    async def main() -> None:
        caught: list[GatewayError] = []
        async with open_arm(FakeBackend(failing(error))) as arm:

            async def ask(value: float) -> None:
                try:
                    await arm.ask(value)
                except GatewayError as own:
                    caught.append(own)

            await asyncio.gather(*[ask(value) for value in range(3)])
        assert len({id(own) for own in caught}) == 3
        for own in caught:
            assert own is not error
            assert (type(own), str(own), vars(own)) == (type(error), str(error), vars(error))
            assert own.__cause__ is error
        assert len({id(own.__traceback__) for own in caught}) == 3

    run(main)


@pytest.mark.parametrize("bug", [ZeroDivisionError("1/0"), KeyError("y"), MemoryError()])
def test_a_bug_is_told_to_the_observer_and_hidden_from_callers(bug: Exception) -> None:
    async def main() -> None:
        backend = FakeBackend(failing(bug))
        async with open_arm(backend) as arm:
            answers = [*await asyncio.gather(outcome(arm.ask(1)), outcome(arm.ask(2)))]
            backend.answer = double
            assert await arm.ask(3) == [6]
        message = f"GatewayError: a batch failed for a reason of ours: {type(bug).__name__}"
        assert answers == [message] * 2
        assert [record.bug for record in arm.records] == [bug, None]
        assert arm.records[0].outcome == "internal"

    run(main)


def test_wrong_rows_fail_the_request_they_come_with_and_are_named() -> None:
    """One request whose answer has the wrong shape spares those that shared its batch."""

    async def main() -> None:
        async def drop_a_row_of_ones(call: Call) -> tuple[Tensor, ...]:
            x = call.inputs[0].array
            return (Tensor("y", "FP32", 2 * (x[1:] if 1 in x else x)),)

        async with open_arm(FakeBackend(drop_a_row_of_ones)) as arm:
            error = "BackendInvalid: outputs['y']: got 0 rows, wanted 1 rows as sent in the batch"
            asked = [outcome(arm.ask(value)) for value in range(4)]
            assert await asyncio.gather(*asked) == [[0], error, [4], [6]]
            statistics = arm.queue.statistics()
        assert (statistics.answered, statistics.failed) == (3, 1)
        assert {record.outcome for record in arm.records} == {"backend_invalid", "ok"}

    run(main)


def test_a_backend_that_cancels_itself_strands_nobody() -> None:
    """As a gRPC channel does that is closed under a call."""

    async def main() -> None:
        async def cancel(_call: Call) -> tuple[Tensor, ...]:
            raise asyncio.CancelledError

        backend = FakeBackend(cancel)
        async with open_arm(backend) as arm:
            assert (
                await outcome(arm.ask(1)) == "BackendUnavailable: iris/tf: the call was cancelled"
            )
            backend.answer = double
            assert await arm.ask(2) == [4]

    run(main)


def test_a_backend_that_answers_a_cancelled_call_hurts_nobody() -> None:
    async def main() -> None:
        async def insist(call: Call) -> tuple[Tensor, ...]:
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                return await double(call)
            raise AssertionError("it should have been cancelled")

        backend = FakeBackend(insist)
        async with open_arm(backend) as arm, asyncio.TaskGroup() as group:
            leaver = group.create_task(arm.ask(1))
            await settle()
            leaver.cancel()
            await settle()
            assert arm.queue.in_flight == 0

    run(main)


# One poison request.


def _refusing(*poison: float, code: str = "") -> FakeBackend:
    async def refuse(call: Call) -> tuple[Tensor, ...]:
        if bad := sorted(map(int, set(call.values) & set(poison))):
            raise BackendRefused(f"cannot read {bad}", code=code)
        return await double(call)

    return FakeBackend(refuse)


@pytest.mark.parametrize("poison", range(8))
def test_a_poison_request_fails_alone(poison: int) -> None:
    """Wherever it stands among eight; found by halving in at most 1 + 2·3 calls."""

    async def main() -> None:
        backend = _refusing(poison)
        async with open_arm(backend) as arm:
            answers = await asyncio.gather(*[outcome(arm.ask(value)) for value in range(8)])
        assert answers == [
            f"BackendRefused: cannot read [{poison}]" if value == poison else [2 * value]
            for value in range(8)
        ]
        assert len(backend.calls) <= 1 + 2 * 3
        assert sum(record.halved for record in arm.records) == 3

    run(main)


@pytest.mark.parametrize(
    "code",
    [
        *("INVALID_ARGUMENT", "OUT_OF_RANGE", "FAILED_PRECONDITION"),
        *("ABORTED", "DATA_LOSS", "INTERNAL", "RESOURCE_EXHAUSTED", "UNKNOWN"),
    ],
)
def test_it_fails_alone_whatever_the_backend_calls_it(code: str) -> None:
    async def main() -> None:
        async with open_arm(_refusing(3, code=code)) as arm:
            answers = await asyncio.gather(*[outcome(arm.ask(value)) for value in range(8)])
        assert [value for value in range(8) if answers[value] != [2 * value]] == [3]

    run(main)


def test_a_backend_that_refuses_everything_is_asked_less_than_twice_per_request() -> None:
    async def main() -> None:
        backend = _refusing(*range(8))
        async with open_arm(backend) as arm:
            answers = await asyncio.gather(*[outcome(arm.ask(value)) for value in range(8)])
        assert all(str(answer).startswith("BackendRefused") for answer in answers)
        assert len(backend.calls) == 2 * 8 - 1
        assert arm.queue.statistics().failed == 8

    run(main)


def test_a_request_refused_alone_is_not_tried_again() -> None:
    async def main() -> None:
        backend = _refusing(1)
        async with open_arm(backend) as arm:
            assert await outcome(arm.ask(1, 1, 1)) == "BackendRefused: cannot read [1]"
        assert len(backend.calls) == 1

    run(main)


def test_a_poison_request_fails_alone_while_the_queue_drains() -> None:
    """Nothing is queued when it closes; the halves that come back still run."""

    async def main() -> None:
        backend = _refusing(0)
        backend.answer = after(1.0, backend.answer)
        async with open_arm(backend) as arm, asyncio.TaskGroup() as group:
            asked = [group.create_task(outcome(arm.ask(value))) for value in range(3)]
            await settle()
            arm.queue.close()
        assert [task.result() for task in asked] == ["BackendRefused: cannot read [0]", [2], [4]]

    run(main)


@pytest.mark.parametrize("code", ["NOT_FOUND", "UNIMPLEMENTED", "PERMISSION_DENIED"])
def test_a_refusal_that_no_single_request_caused_is_not_tried_again(code: str) -> None:
    async def main() -> None:
        backend = FakeBackend(failing(BackendRefused("no", code=code)))
        async with open_arm(backend) as arm:
            answers = await asyncio.gather(*[outcome(arm.ask(value)) for value in range(8)])
        assert answers == ["BackendRefused: no"] * 8
        assert len(backend.calls) == 1

    run(main)


def test_deadlines_hold_while_a_poison_request_is_looked_for() -> None:
    async def main() -> None:
        backend = _refusing(0)
        backend.answer = after(1.0, backend.answer)
        async with open_arm(backend) as arm:
            answers = await asyncio.gather(
                outcome(arm.ask(0, timeout_s=2.5)),
                *[outcome(arm.ask(value)) for value in (1, 2, 3)],
            )
            assert arm.loop.time() == 4.5
        assert str(answers[0]).startswith("DeadlineExceeded")
        assert answers[1:] == [[2], [4], [6]]

    run(main)


# What errors leave behind.


@pytest.mark.parametrize("rows", [1, 5])
@pytest.mark.parametrize("answer", [double, failing(BackendUnavailable("gone")), when_told])
def test_what_has_ended_is_freed_without_the_garbage_collector(answer: Answer, rows: int) -> None:
    """Answered, failed or expired, whole or in pieces: tensors may be large, no cycle may hold them."""

    async def main() -> None:
        backend = FakeBackend(answer)
        limits = BatchLimits(max_batch_rows=4)
        async with open_arm(backend, limits) as arm:
            inputs = request(*range(rows))
            freed = weakref.ref(inputs[0].array)
            gc.disable()
            try:
                with contextlib.suppress(GatewayError):
                    await arm.queue.submit(key_of(inputs), inputs, rows, Deadline(9.0))
                await settle()
                backend.calls.clear()
                del inputs
                assert freed() is None
            finally:
                gc.enable()

    run(main)
