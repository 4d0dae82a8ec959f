"""tritonclient.http.aio, unchanged: every method of it whose extension the gateway advertises."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http.aio as triton
from tritonclient.utils import InferenceServerException

from gateway.tensors import Array
from tests.clients.triton import VALUES, same, within
from tests.fakes.gateways import Stack

X = np.array([[1, 2, 3, 4]], np.float32)


def asked(name: str, array: Array, datatype: str) -> triton.InferInput:
    found = triton.InferInput(name, list(array.shape), datatype)
    found.set_data_from_numpy(array, binary_data=True)
    return found


def with_client(path: Path, scenario: Callable[[Any], Awaitable[None]]) -> None:
    async def run(stack: Stack) -> None:
        async with triton.InferenceServerClient(stack.gateway.addresses["rest"]) as client:
            await scenario(client)

    within(path, run)


def test_what_it_can_ask_of_a_server(tmp_path: Path) -> None:
    async def scenario(client: Any) -> None:
        assert await client.is_server_live()
        assert await client.is_server_ready()
        assert await client.is_model_ready("floats", "1")
        assert not await client.is_model_ready("none")
        assert (await client.get_server_metadata())["name"] == "tandem"
        assert (await client.get_model_metadata("floats"))["platform"] == "arithmetic"
        assert (await client.get_model_config("floats"))["backend"] == "tandem"
        index = await client.get_model_repository_index()
        assert "floats" in {entry["name"] for entry in index}
        (told,) = (await client.get_inference_statistics("floats"))["model_stats"]
        assert told["inference_count"] == 0
        for refused in (client.load_model, client.unload_model):
            with pytest.raises(InferenceServerException, match="configuration file"):
                await refused("floats")
        with pytest.raises(InferenceServerException, match="shared memory"):
            await client.get_cuda_shared_memory_status()

    with_client(tmp_path, scenario)


def test_every_datatype_returns_bit_by_bit(tmp_path: Path) -> None:
    async def scenario(client: Any) -> None:
        for datatype, values in VALUES.items():
            answer = await client.infer(f"echo_{datatype.lower()}", [asked("x", values, datatype)])
            same(answer.as_numpy("y"), values)

    with_client(tmp_path, scenario)


def test_answers_of_any_size_whatever_it_says_that_it_accepts(tmp_path: Path) -> None:
    """It always sends `Accept-Encoding: gzip, deflate`, unless told otherwise, and undoes both."""

    async def scenario(client: Any) -> None:
        for rows in (1, 64, 4096):
            many = np.arange(rows * 8, dtype=np.float32).reshape(rows, 8)
            for algorithm in (None, "gzip", "deflate"):
                answer = await client.infer(
                    "echo_fp32",
                    [asked("x", many, "FP32")],
                    request_compression_algorithm=algorithm,
                    response_compression_algorithm=algorithm,
                )
                same(answer.as_numpy("y"), many)

    with_client(tmp_path, scenario)


def test_requests_side_by_side_with_ids_and_parameters(tmp_path: Path) -> None:
    async def scenario(client: Any) -> None:
        asking = [
            client.infer(
                "floats",
                [asked("x", X + i, "FP32")],
                request_id=str(i),
                parameters={"tandem_explain": True},
            )
            for i in range(8)
        ]
        for i, answer in enumerate(await asyncio.gather(*asking)):
            same(answer.as_numpy("y"), (X + i) * 2 + 1)
            assert answer.get_response()["id"] == str(i)
            assert answer.get_response()["parameters"]["tandem_arm"] == "torch"

    with_client(tmp_path, scenario)


def test_errors_have_their_text_and_status(tmp_path: Path) -> None:
    async def scenario(client: Any) -> None:
        with pytest.raises(InferenceServerException, match="unknown model: 'none'") as caught:
            await client.infer("none", [asked("x", X, "FP32")])
        assert caught.value.status() == "404"
        with pytest.raises(InferenceServerException, match="model floats wants"):
            await client.infer("floats", [asked("x", X[:, :2], "FP32")])

    with_client(tmp_path, scenario)
