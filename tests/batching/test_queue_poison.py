"""BatchQueue where many requests are refused: what that costs, and what the others are told."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from gateway.batching import BatchLimits
from gateway.errors import BackendRefused, BatchRefused, InputRefused
from gateway.tensors import Tensor
from tests.batching.fakes import Call, FakeBackend, double, failing, open_arm, outcome
from tests.batching.virtual_time import run

_BATCHES = 50
_LIMITS = BatchLimits(max_batch_rows=64)


def _refusing_negative() -> FakeBackend:
    async def refuse(call: Call) -> tuple[Tensor, ...]:
        if min(call.values) < 0:
            raise InputRefused("below zero", code="INVALID_ARGUMENT")
        return await double(call)

    return FakeBackend(refuse)


@pytest.mark.parametrize("bad", [1, 3, 7, 16])
def test_bad_requests_spare_the_others_for_as_long_as_most_are_good(bad: int) -> None:
    """Spread over batches of 64, time and again; at most two more calls are made for each good request."""

    async def main() -> None:
        backend = _refusing_negative()
        wanted = [-1.0 if value * bad % 64 < bad else float(value) for value in range(64)]
        told: Counter[bool] = Counter()
        async with open_arm(backend, _LIMITS) as arm:
            for _ in range(_BATCHES):
                answers = await asyncio.gather(*[outcome(arm.ask(value)) for value in wanted])
                told.update(isinstance(answer, list) for answer in answers)
        assert told == {True: (64 - bad) * _BATCHES, False: bad * _BATCHES}
        assert len(backend.calls) < _BATCHES + 2 * (100 + told[True])

    run(main)


@pytest.mark.parametrize("is_input", [True, False])
def test_where_all_are_refused_nobody_is_blamed_that_was_not_asked_alone(*, is_input: bool) -> None:
    """A hundred halvings, and no more; the error of who was not asked alone may be tried again."""

    async def main() -> None:
        kind = InputRefused if is_input else BackendRefused
        backend = FakeBackend(failing(kind("no", code="INVALID_ARGUMENT")))
        told: Counter[str] = Counter()
        async with open_arm(backend, _LIMITS) as arm:
            for _ in range(_BATCHES):
                answers = await asyncio.gather(*[outcome(arm.ask(value)) for value in range(64)])
                told.update(str(answer).split(":")[0] for answer in answers)
            refused = [
                record for record in arm.records if record.requests > 1 and not record.halved
            ]
        assert len(backend.calls) == _BATCHES + 2 * 100
        alone = sum(len(call.values) == 1 for call in backend.calls)
        together = BatchRefused if is_input else BackendRefused
        assert told[kind.__name__] >= alone
        assert told[together.__name__] >= 64 * _BATCHES - alone
        assert {record.outcome for record in refused} == {together.reason}

    run(main)


def test_the_backends_own_words_are_passed_on_with_a_batch_that_is_not_asked_apart() -> None:
    async def main() -> None:
        backend = FakeBackend(failing(InputRefused("token 7 is unknown", code="INVALID_ARGUMENT")))
        async with open_arm(backend, _LIMITS) as arm:
            for _ in range(2):
                await asyncio.gather(*[outcome(arm.ask(value)) for value in range(64)])
            answer = await asyncio.gather(*[outcome(arm.ask(value)) for value in range(2)])
        assert str(answer[0]).startswith("BatchRefused: a batch of 2 requests was refused")
        assert str(answer[0]).endswith("(token 7 is unknown)")

    run(main)
