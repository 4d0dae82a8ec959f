"""Requests of different lengths in one queue: who shares a batch, what each gets, and what is told of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import numpy as np
import pytest

from gateway.batching import BatchKey, BatchLimits, padding
from gateway.errors import BackendRefused, GatewayError
from gateway.messages import Deadline
from gateway.sequences import RaggedInput, RaggedOutput, SequenceSpec
from gateway.tensors import Tensor
from tests.batching.fakes import Arm, Call, FakeBackend, failing, open_arm

SPEC = SequenceSpec(
    inputs=(RaggedInput("ids", 1, -1),), outputs=(RaggedOutput("y", 1),), buckets=(4, 16)
)


async def double(call: Call) -> tuple[Tensor, ...]:
    ids = call.inputs[0].array
    return Tensor("y", "INT64", np.multiply(ids, np.int64(2))), Tensor("rows", "INT64", ids[:, 0])


def sequence(value: int, length: int, rows: int = 1) -> tuple[Tensor, ...]:
    return (Tensor("ids", "INT64", np.full((rows, length), value)),)


async def ask(arm: Arm, inputs: tuple[Tensor, ...]) -> list[list[int]] | str:
    """The rows of its answer, or its error's class and message."""
    key = BatchKey.of(version="1", signature="", inputs=inputs, batchable=True).in_bucket(SPEC)
    deadline = Deadline.after(arm.loop.time(), 10.0)
    try:
        served = await arm.queue.submit(key, inputs, inputs[0].shape[0], deadline)
    except GatewayError as error:
        return f"{type(error).__name__}: {error}"
    rows: list[list[int]] = served.outputs[0].array.tolist()
    return rows


async def asked_together(arm: Arm, *requests: tuple[Tensor, ...]) -> list[list[list[int]] | str]:
    return list(await asyncio.gather(*[ask(arm, inputs) for inputs in requests]))


def ran(scenario: Awaitable[None]) -> None:
    async def run() -> None:
        await scenario

    asyncio.run(run())


def lengths(backend: FakeBackend) -> list[tuple[int, ...]]:
    return [call.inputs[0].shape for call in backend.calls]


def test_a_bucket_leaves_together_as_long_as_its_longest() -> None:
    async def scenario() -> None:
        backend = FakeBackend(double)
        async with open_arm(backend) as arm:
            got = await asked_together(
                arm, sequence(1, 2), sequence(2, 9), sequence(3, 4, rows=2), sequence(4, 6)
            )
        assert got == [[[2, 2]], [[4] * 9], [[6] * 4] * 2, [[8] * 6]]
        assert lengths(backend) == [(3, 4), (2, 9)]
        assert backend.calls[0].inputs[0].array[0].tolist() == [1, 1, -1, -1]
        told = [(r.rows, r.requests, r.positions, r.padding) for r in arm.records]
        assert told == [(3, 2, 10, 2), (2, 2, 15, 3)]

    ran(scenario())


def test_one_that_is_alone_is_sent_as_it_came() -> None:
    """So is one that is too long for every bucket, with others of its length."""

    async def scenario() -> None:
        backend = FakeBackend(double)
        async with open_arm(backend) as arm:
            assert await ask(arm, inputs := sequence(5, 3)) == [[10, 10, 10]]
            assert backend.calls[0].inputs[0].array is inputs[0].array
            await asked_together(arm, sequence(1, 17), sequence(2, 18), sequence(3, 17))
        assert lengths(backend) == [(1, 3), (2, 17), (1, 18)]
        assert [record.padding for record in arm.records] == [0, 0, 0]

    ran(scenario())


def test_the_pieces_of_a_request_meet_others_and_are_rejoined() -> None:
    async def scenario() -> None:
        backend = FakeBackend(double)
        async with open_arm(backend, BatchLimits(max_batch_rows=2)) as arm:
            got = await asked_together(arm, sequence(1, 2, rows=3), sequence(2, 4))
        assert got == [[[2, 2]] * 3, [[4] * 4]]
        assert lengths(backend) == [(2, 2), (2, 4)]

    ran(scenario())


def test_what_is_refused_together_is_tried_again_in_its_own_length() -> None:
    async def refuse_the_long(call: Call) -> tuple[Tensor, ...]:
        if call.inputs[0].shape[1] > 3:
            raise BackendRefused("too long", code="INVALID_ARGUMENT")
        return await double(call)

    async def scenario() -> None:
        backend = FakeBackend(refuse_the_long)
        async with open_arm(backend) as arm:
            got = await asked_together(arm, sequence(1, 2), sequence(2, 4))
        assert got == [[[2, 2]], "BackendRefused: too long"]
        assert lengths(backend) == [(2, 4), (1, 2), (1, 4)]

    ran(scenario())


async def too_short(call: Call) -> tuple[Tensor, ...]:
    rows = call.inputs[0].shape[0]
    return (Tensor("y", "INT64", np.zeros((rows, 1), np.int64)),)


def test_an_answer_of_another_length_is_an_error_for_all_of_the_batch() -> None:
    """Alone as well: what is cut back must be what was sent."""

    async def scenario() -> None:
        async with open_arm(FakeBackend(too_short)) as arm:
            got = await asked_together(arm, sequence(1, 2), sequence(2, 4))
        assert got == [
            f"BackendInvalid: outputs['y']: got [1, 1], wanted {length} in dimension 1, the length of"
            " the sequences that were sent"
            for length in (2, 4)
        ]
        assert [(r.outcome, r.halved, r.positions, r.padding) for r in arm.records] == [
            ("backend_invalid", True, 6, 2),
            ("backend_invalid", False, 2, 0),
            ("backend_invalid", False, 4, 0),
        ]

    ran(scenario())


def test_a_batch_that_fails_counts_its_padding_too() -> None:
    async def scenario() -> None:
        async with open_arm(FakeBackend(failing(BackendRefused("no", code="NOT_FOUND")))) as arm:
            await asked_together(arm, sequence(1, 2), sequence(2, 4))
        assert [(r.positions, r.padding) for r in arm.records] == [(6, 2)]

    ran(scenario())


def test_large_batches_are_padded_and_cut_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """And come out the same."""
    monkeypatch.setattr("gateway.batching.flight.JOIN_ON_LOOP_BYTES", 16)
    loops: list[bool] = []
    plain = padding.Padding.join

    def watched(self: padding.Padding, requests: list[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        try:
            asyncio.get_running_loop()
            loops.append(True)
        except RuntimeError:
            loops.append(False)
        return plain(self, requests)

    monkeypatch.setattr(padding.Padding, "join", watched)

    async def scenario() -> None:
        async with open_arm(FakeBackend(double)) as arm:
            got = await asked_together(arm, sequence(1, 2), sequence(2, 4))
        assert got == [[[2, 2]], [[4] * 4]]

    ran(scenario())
    assert loops == [False]
