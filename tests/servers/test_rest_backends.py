"""REST in front of backends that are slow, full, faulty or shared: bounds, deadlines, batches."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from gateway.messages import InferRequest, InferResponse
from gateway.tensors import Tensor
from tests.fakes.arithmetic import Arithmetic, Gate, Refusal
from tests.fakes.gateways import Stack, against, until

TFS = "/v1/models/floats:predict"
OIP = "/v2/models/floats/infer"
ROW = {"instances": [[1, 2, 3, 4]]}


def test_a_full_queue_rejects_at_once_and_says_when_to_come_back(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        gate = Gate()
        stack.backends["tf"].fault = gate
        post = stack.rest.post
        tokens = {"instances": [[1, 2]]}
        async with asyncio.TaskGroup() as group:
            first = group.create_task(post("/v1/models/tokens:predict", json=tokens))
            await gate.reached()
            waiting = group.create_task(post("/v1/models/tokens:predict", json=tokens))
            await until(lambda: stack.count("tandem_queued_rows", model="tokens") >= 1)
            refused = await post("/v1/models/tokens:predict", json=tokens)
            assert refused.status_code == 429
            assert refused.headers["retry-after"] == "1"
            assert "tokens: arm tf" in refused.json()["error"]
            gate.opened.set()
        assert first.result().status_code == waiting.result().status_code == 200
        assert stack.count("tandem_requests_total", reason="queue_full") == 1

    tight = """
[models.tokens]
batching = { max_batch_rows = 1, max_queued_rows = 1 }
[models.tokens.arms.tf]
backend = "tf"
"""
    against(tmp_path, scenario, models=tight)


def test_a_deadline_ends_a_slow_request_and_leaves_the_others(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        gate = Gate()
        stack.backends["tf"].fault = gate
        path = "/v1/models/tokens:predict"
        async with asyncio.TaskGroup() as group:
            patient = group.create_task(stack.rest.post(path, json={"instances": [[1, 2]]}))
            await gate.reached()
            late = await stack.rest.post(
                path, json={"instances": [[1, 2]]}, headers={"x-tandem-timeout-ms": "50"}
            )
            assert late.status_code == 504
            assert "deadline" in late.json()["error"]
            gate.opened.set()
        assert patient.result().status_code == 200
        wrong = await stack.rest.post(
            path, json={"instances": [[1]]}, headers={"x-tandem-timeout-ms": "soon"}
        )
        assert wrong.status_code == 400

    against(tmp_path, scenario)


def answer_with(*tensors: Tensor) -> Callable[[InferRequest], Awaitable[InferResponse]]:
    async def fault(request: InferRequest) -> InferResponse:
        return InferResponse(model=request.model, version="1", outputs=tensors)

    return fault


async def refuse(_: InferRequest) -> InferResponse:
    raise Refusal(grpc.StatusCode.INTERNAL, "out of cheese")


async def refuse_input(_: InferRequest) -> InferResponse:
    raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, "token 99 is out of range")


async def be_full(_: InferRequest) -> InferResponse:
    raise Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "queue of 8")


@pytest.mark.parametrize(
    ("fault", "status", "text", "reason"),
    [
        (refuse, 500, "out of cheese", "backend_refused"),
        (refuse_input, 400, "token 99 is out of range", "input_refused"),
        (be_full, 503, "queue of 8", "backend_busy"),
        (answer_with(), 500, "answered with outputs []", "backend_invalid"),
        (
            answer_with(Tensor("y", "FP32", np.zeros((3, 4), np.float32))),
            500,
            "answered with 3 rows in output 'y', wanted 1",
            "backend_invalid",
        ),
        (
            answer_with(Tensor("y", "FP32", np.zeros((1, 5), np.float32))),
            500,
            "answered with FP32 [1, 5] in output 'y', wanted FP32 [rows, 4]",
            "backend_invalid",
        ),
        (
            answer_with(Tensor("y", "FP64", np.zeros((1, 4)))),
            500,
            "answered with FP64",
            "backend_invalid",
        ),
    ],
)
def test_a_faulty_backend_is_an_error_and_never_a_wrong_number(
    tmp_path: Path, fault: Any, status: int, text: str, reason: str
) -> None:
    async def scenario(stack: Stack) -> None:
        for backend in stack.backends.values():
            backend.fault = fault
        answer = await stack.rest.post(TFS, json=ROW)
        assert answer.status_code == status
        assert text in answer.json()["error"]
        assert stack.count("tandem_requests_total", reason=reason) == 1

    against(tmp_path, scenario)


def test_several_inputs_and_outputs_by_row_and_by_column(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        path = "/v1/models/pairs:predict"
        rows = {"instances": [{"a": [1, 2], "b": 3}, {"b": 5, "a": [0, 1]}]}
        assert (await stack.rest.post(path, json=rows)).json() == {
            "predictions": [{"sum": [4.0, 5.0], "twice": 6}, {"sum": [5.0, 6.0], "twice": 10}]
        }
        columns = {"inputs": {"b": [3, 5], "a": [[1, 2], [0, 1]]}}
        assert (await stack.rest.post(path, json=columns)).json() == {
            "outputs": {"sum": [[4.0, 5.0], [5.0, 6.0]], "twice": [6, 10]}
        }
        uneven = await stack.rest.post(path, json={"inputs": {"b": [3], "a": [[1, 2], [0, 1]]}})
        assert uneven.status_code == 400
        assert "rows" in uneven.json()["error"]

    against(tmp_path, scenario)


def test_requests_that_arrive_together_share_a_batch_and_shapes_never_mix(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        gate = Gate()
        backend = stack.backends["tf"]
        backend.fault = gate
        path = "/v1/models/tokens:predict"
        async with asyncio.TaskGroup() as group:
            first = group.create_task(stack.rest.post(path, json={"instances": [[0]]}))
            await gate.reached()
            rest = [
                group.create_task(stack.rest.post(path, json={"instances": [[1] * (1 + n % 2)]}))
                for n in range(10)
            ]
            await until(lambda: stack.count("tandem_queued_rows", model="tokens") >= 10)
            gate.opened.set()
        assert backend.batches == [1, 5, 5]
        assert first.result().json() == {"predictions": [0]}
        assert [r.result().json()["predictions"] for r in rest] == [[1 + n % 2] for n in range(10)]
        assert stack.count("tandem_batches_total", model="tokens", reason="ok") == 3

    against(tmp_path, scenario, backends={"tf": Arithmetic(), "torch": Arithmetic()})
