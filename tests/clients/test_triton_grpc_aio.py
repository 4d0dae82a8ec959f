"""tritonclient.grpc.aio, unchanged, and gRPC's health service on the same port; streams that end early."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc.aio as triton
from tritonclient.utils import InferenceServerException

from gateway.tensors import Array
from tests.clients.triton import VALUES, same, within
from tests.fakes.arithmetic import Gate
from tests.fakes.gateways import Stack, until

X = np.array([[1, 2, 3, 4]], np.float32)
CHECK, WATCH = "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"
SERVING, NOT_SERVING, UNKNOWN = b"\x08\x01", b"\x08\x02", b"\x08\x03"


def asked(array: Array, datatype: str = "FP32") -> triton.InferInput:
    found = triton.InferInput("x", list(array.shape), datatype)
    found.set_data_from_numpy(array)
    return found


def with_client(path: Path, scenario: Callable[[Any, Stack], Awaitable[None]]) -> None:
    async def run(stack: Stack) -> None:
        async with triton.InferenceServerClient(stack.grpc) as client:
            await scenario(client, stack)

    within(path, run)


def test_what_it_can_ask_of_a_server(tmp_path: Path) -> None:
    async def scenario(client: Any, _: Stack) -> None:
        assert await client.is_server_live()
        assert await client.is_server_ready()
        assert await client.is_model_ready("floats", "1")
        assert (await client.get_server_metadata()).name == "tandem"
        assert (await client.get_model_metadata("floats")).versions == ["1"]
        assert (await client.get_model_config("floats")).config.max_batch_size == 64
        assert len((await client.get_model_repository_index()).models) > 10
        assert (await client.get_inference_statistics("floats")).model_stats[0].version == "1"
        with pytest.raises(InferenceServerException, match="configuration file"):
            await client.load_model("floats")

    with_client(tmp_path, scenario)


def test_every_datatype_returns_bit_by_bit(tmp_path: Path) -> None:
    async def scenario(client: Any, _: Stack) -> None:
        for datatype, values in VALUES.items():
            answer = await client.infer(f"echo_{datatype.lower()}", [asked(values, datatype)])
            same(answer.as_numpy("y"), values)

    with_client(tmp_path, scenario)


def test_requests_of_one_stream_share_batches(tmp_path: Path) -> None:
    async def scenario(client: Any, stack: Stack) -> None:
        gate = Gate()
        stack.backends["torch"].fault = gate

        async def questions() -> AsyncIterator[dict[str, Any]]:
            for i in range(9):
                yield {"model_name": "floats", "inputs": [asked(X + i)], "request_id": str(i)}
            await gate.reached()
            await until(lambda: stack.count("tandem_queued_rows", model="floats") == 8)
            gate.opened.set()

        told = [answer async for answer in client.stream_infer(questions())]
        for i, (result, error) in enumerate(told):
            assert error is None
            same(result.as_numpy("y"), (X + i) * 2 + 1)
        assert stack.backends["torch"].batches == [1, 8]

    with_client(tmp_path, scenario)


def test_a_stream_whose_client_leaves_leaves_nothing_behind(tmp_path: Path) -> None:
    async def scenario(client: Any, stack: Stack) -> None:
        gate = Gate()
        stack.backends["torch"].fault = gate
        never = asyncio.Event()

        async def questions() -> AsyncIterator[dict[str, Any]]:
            for _ in range(5):
                yield {"model_name": "floats", "inputs": [asked(X)]}
            await never.wait()

        stream = client.stream_infer(questions())
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(anext(stream))
            await gate.reached()
            stream.cancel()
            reading.cancel()
        await until(lambda: stack.gateway.pipeline.in_flight == 0)
        assert stack.count("tandem_requests_total", reason="caller_left") >= 1

    with_client(tmp_path, scenario)


def test_an_idle_stream_does_not_hold_up_a_drain(tmp_path: Path) -> None:
    async def scenario(client: Any, stack: Stack) -> None:
        never = asyncio.Event()

        async def questions() -> AsyncIterator[dict[str, Any]]:
            yield {"model_name": "floats", "inputs": [asked(X)]}
            await never.wait()

        stream = client.stream_infer(questions())
        result, error = await anext(stream)
        assert (result.as_numpy("y").tolist(), error) == ((X * 2 + 1).tolist(), None)
        async with asyncio.timeout(10):  # `limits.drain_timeout_s` is 25
            await stack.gateway.drain()
        with pytest.raises(grpc.aio.AioRpcError, match="draining") as caught:
            await anext(stream)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE

    with_client(tmp_path, scenario)


def test_grpcs_own_health_service(tmp_path: Path) -> None:
    async def scenario(_: Any, stack: Stack) -> None:
        async with grpc.aio.insecure_channel(stack.grpc) as channel:
            check: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(CHECK)
            watching: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(WATCH)
            for service in (b"", b"\x0a\x1einference.GRPCInferenceService"):
                assert await check(service) == SERVING
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await check(b"\x0a\x04none")
            assert caught.value.code() is grpc.StatusCode.NOT_FOUND
            unknown = watching(b"\x0a\x04none")
            assert await unknown.read() == UNKNOWN
            watch = watching(b"")
            assert await watch.read() == SERVING
            await stack.gateway.drain()
            assert await watch.read() == NOT_SERVING
            assert await watch.read() is grpc.aio.EOF

    with_client(tmp_path, scenario)
