"""Steps of a sequence change what their backend keeps: each is a batch of its own, unseen by shadows."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.fakes.arithmetic import Arithmetic, Gate
from tests.fakes.gateways import Stack, against, until

SHADOWED = """
[models.floats]
arms = { tf.backend = "tf", torch.backend = "torch" }
shadow = [{ arm = "tf", sample_ratio = 1.0 }]
batching.max_in_flight = 1
"""
STEP, OTHER = {"sequence_id": 7}, {"top_k": 7}


async def ask(stack: Stack, mark: float, parameters: dict[str, int]) -> None:
    x = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [mark, 0, 0, 0]}
    answer = await stack.rest.post(
        "/v2/models/floats/infer",
        json={"inputs": [x], "parameters": parameters},
        headers={"x-tandem-arm": "torch"},
    )
    assert answer.status_code == 200


def rows(backend: Arithmetic, mark: float) -> list[int]:
    """Of the batches that hold what is marked so."""
    arrays = [request.inputs[0].array for request in backend.requests]
    return [len(array) for array in arrays if mark in array[:, 0]]


def test_steps_share_no_batch_and_no_shadow_sees_them(tmp_path: Path) -> None:
    """Requests with other parameters do, if those are the same, and are seen."""

    async def scenario(stack: Stack) -> None:
        torch, tf = stack.backends["torch"], stack.backends["tf"]
        torch.fault = gate = Gate()
        async with asyncio.TaskGroup() as group:
            group.create_task(ask(stack, 1.0, {}))
            await gate.reached()
            for _ in range(5):
                group.create_task(ask(stack, 2.0, STEP))
                group.create_task(ask(stack, 3.0, OTHER))
            await until(lambda: stack.count("tandem_queued_rows", arm="torch") == 10)
            gate.opened.set()
        assert rows(torch, 2.0) == [1] * 5
        assert rows(torch, 3.0) == [5]
        await until(lambda: bool(rows(tf, 1.0) and rows(tf, 3.0)))
        assert rows(tf, 2.0) == []

    against(tmp_path, scenario, models=SHADOWED)
