"""What does the backend do by itself, and what does one lonely caller see?"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import aiohttp
import grpc
import numpy as np

from gateway.codecs import oip_json, oip_proto
from gateway.messages import InferRequest
from gateway.tensors import Tensor

__all__ = ["full_batches_per_s", "sentence_body", "unloaded_ms"]

INFER = "/inference.GRPCInferenceService/ModelInfer"
SENTENCE_ID = 2023  # any word's token
PAIRS = 300  # calls each way
WARM = 50

IRIS = InferRequest(
    model="iris", inputs=(Tensor("x", "FP32", np.array([[5.1, 3.5, 1.4, 0.2]], np.float32)),)
)


def sentence_body(tokens: int) -> str:
    """One sentence as a TF Serving REST body."""
    sentence = {"input_ids": [SENTENCE_ID] * tokens, "attention_mask": [1] * tokens}
    return json.dumps({"instances": [sentence]})


async def full_batches_per_s(address: str, rows: int, tokens: int, seconds: float) -> float:
    """Rows a second of full batches, one in flight, over gRPC."""
    inputs = (
        Tensor("input_ids", "INT64", np.full((rows, tokens), SENTENCE_ID, np.int64)),
        Tensor("attention_mask", "INT64", np.ones((rows, tokens), np.int64)),
    )
    data = oip_proto.encode_request(InferRequest(model="minilm", inputs=inputs))
    async with grpc.aio.insecure_channel(address) as channel:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(INFER)
        await call(data)
        done, started = 0, time.perf_counter()
        while time.perf_counter() - started < seconds:
            await call(data)
            done += rows
        return done / (time.perf_counter() - started)


async def unloaded_ms(protocol: str, through: str, straight: str) -> tuple[float, float]:
    """The p50 of one caller, milliseconds: through the gateway, straight to the backend; in turn."""
    async with AsyncExitStack() as stack:
        ours = await _caller(stack, protocol, through)
        theirs = await _caller(stack, protocol, straight)
        for _ in range(WARM):
            await ours()
            await theirs()
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(PAIRS):
            for call, found in zip((ours, theirs), times, strict=True):
                started = time.perf_counter()
                await call()
                found.append((time.perf_counter() - started) * 1e3)
        return statistics.median(times[0]), statistics.median(times[1])


async def _caller(
    stack: AsyncExitStack, protocol: str, address: str
) -> Callable[[], Awaitable[object]]:
    if protocol == "grpc":
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(address))
        method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(INFER)
        data = oip_proto.encode_request(IRIS)
        return lambda: method(data)
    session = await stack.enter_async_context(aiohttp.ClientSession())
    url = f"http://{address}/v2/models/iris/infer"
    body, _ = oip_json.encode_request(IRIS, binary=False)

    async def post() -> None:
        async with session.post(url, data=body) as answer:
            await answer.read()
            answer.raise_for_status()

    return post
