"""Who goes first, and who is refused at once: as callers see it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.fakes.arithmetic import Gate
from tests.fakes.gateways import Stack, until
from tests.servers.in_one_piece import OIP, TFS, against, asked_alone

_ONE_A_BATCH = "[models.tokens]\nbatching = { max_batch_rows = 1 }\n"


def _body(value: int, priority: object = None) -> dict[str, object]:
    body: dict[str, object] = {
        "inputs": [{"name": "ids", "datatype": "INT64", "shape": [1, 1], "data": [value]}]
    }
    return body if priority is None else {**body, "parameters": {"priority": priority}}


def test_the_higher_priority_goes_first(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        backend = stack.backends["tf"]
        backend.fault = gate = Gate()
        async with asyncio.TaskGroup() as group:
            group.create_task(asked_alone(stack, TFS, {"instances": [[9]]}))
            await gate.reached()
            asked = [(1, 7), (2, None), (3, 2), (4, 1), (5, 0)]
            for number, (value, priority) in enumerate(asked, start=1):
                group.create_task(asked_alone(stack, OIP, _body(value, priority)))
                await until(lambda n=number: stack.count("tandem_queued_rows") == n)  # type: ignore[misc]
            gate.opened.set()
        sent = [int(request.inputs[0].array[0, 0]) for request in backend.requests]
        assert sent == [9, 4, 2, 3, 5, 1]

    against(tmp_path, scenario, _ONE_A_BATCH)


@pytest.mark.parametrize("priority", [-1, 1.5, "high", True])
def test_a_priority_that_is_none_is_the_callers_fault(tmp_path: Path, priority: object) -> None:
    async def scenario(stack: Stack) -> None:
        status, answer = await asked_alone(stack, OIP, _body(1, priority))
        assert status == 400
        assert "parameters['priority']" in answer["error"]
        assert "wanted a whole number: 1 is high, 2 or 0 normal, more is low" in answer["error"]
        assert not stack.backends["tf"].requests

    against(tmp_path, scenario)


def test_who_would_be_late_is_told_so_at_once(tmp_path: Path) -> None:
    """Batches take a quarter of a second: 50 ms are too few, and so are 0.4 s behind another batch.

    Two others are queued, but have more time.
    """

    async def scenario(stack: Stack) -> None:
        backend = stack.backends["tf"]

        async def slow(_request: object) -> None:
            await asyncio.sleep(0.25)

        backend.fault = slow
        for _ in range(3):
            assert (await asked_alone(stack, TFS, {"instances": [[1]]}))[0] == 200
        patience = "x-tandem-timeout-ms: 50"
        status, answer = await asked_alone(stack, TFS, {"instances": [[1]]}, patience)
        assert status == 504
        assert (
            "the deadline is in 0.050 s, and a batch of 1 rows lately took 0.2" in answer["error"]
        )
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(asked_alone(stack, TFS, {"instances": [[1]]}))
            await until(lambda: stack.count("tandem_queued_rows") == 2)
            patience = "x-tandem-timeout-ms: 400"
            status, answer = await asked_alone(stack, TFS, {"instances": [[1]]}, patience)
            assert status == 429
            assert "the answer would come in about" in answer["error"]
            assert "0 rows go before it, and 1 batches are at the backend" in answer["error"]
        assert stack.count("tandem_requests_total", reason="deadline_too_near") == 1
        assert stack.count("tandem_requests_total", reason="would_be_late") == 1
        assert len(backend.requests) == 6

    against(tmp_path, scenario, _ONE_A_BATCH)
