"""A model whose outputs' dim 0 is not rows: nobody is sent beside others, and its answers are taken as they are."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import numpy as np
import pytest

from gateway.messages import InferRequest, InferResponse
from gateway.tensors import Tensor
from tests.fakes.gateways import Stack, against

PATH = "/v1/models/floats:predict"
INPUTS = {"inputs": {"x": [[1, 2, 3, 4], [5, 6, 7, 8]]}}


async def boxes(request: InferRequest) -> InferResponse:
    """A detector's: as many as there are, three here, whatever the rows."""
    found = np.full((3, 4), len(request.inputs[0].array), np.float32)
    return InferResponse(model=request.model, version="1", outputs=(Tensor("y", "FP32", found),))


async def asked_at_once(stack: Stack) -> list[httpx.Response]:
    for backend in stack.backends.values():
        backend.fault = boxes
    return await asyncio.gather(*[stack.rest.post(PATH, json=INPUTS) for _ in range(6)])


@pytest.mark.parametrize("backend", ["tf", "torch"])
@pytest.mark.parametrize("place", ["batching", "arms.only.batching"])
def test_each_request_gets_the_answer_to_itself(tmp_path: Path, backend: str, place: str) -> None:
    """Neither joined, nor cut where it has more rows than a batch."""

    async def scenario(stack: Stack) -> None:
        answers = await asked_at_once(stack)
        assert [answer.json() for answer in answers] == [{"outputs": [[2.0] * 4] * 3}] * 6
        assert stack.backends[backend].batches == [2] * 6

    models = f'[models.floats.arms.only]\nbackend = "{backend}"\n'
    settings = f"[models.floats.{place}]\njoins = false\nmax_batch_rows = 1\n"
    against(tmp_path, scenario, models=models + settings)


def test_without_the_setting_it_is_named_in_the_error(tmp_path: Path) -> None:
    """A share of such an answer would be somebody else's."""

    async def scenario(stack: Stack) -> None:
        for answer in await asked_at_once(stack):
            assert answer.status_code == 500
            assert "batching.joins" in answer.json()["error"]

    against(tmp_path, scenario, models='[models.floats.arms.only]\nbackend = "tf"\n')
