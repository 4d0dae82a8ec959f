"""A server of TensorFlow Serving's gRPC API in this process, whose answers a test writes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any

import grpc

from gateway.backends.grpc_link import GrpcLink
from gateway.backends.tfserving import TfServingBackend
from tests.backends.grpc_answers import Answer

MAX_MESSAGE_BYTES = 8 * 1024 * 1024
SERVICES = {
    "Predict": "tensorflow.serving.PredictionService",
    "GetModelMetadata": "tensorflow.serving.PredictionService",
    "GetModelStatus": "tensorflow.serving.ModelService",
    "HandleReloadConfigRequest": "tensorflow.serving.ModelService",
}


@asynccontextmanager
async def serving(
    answers: Mapping[str, Answer], address: str = "127.0.0.1:0"
) -> AsyncIterator[str]:
    """A running server that has these methods only; gives its address."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    for method, answer in answers.items():
        handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(answer)
        generic = grpc.method_handlers_generic_handler(SERVICES[method], {method: handler})
        server.add_generic_rpc_handlers([generic])
    port = server.add_insecure_port(address)
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(grace=None)


@asynccontextmanager
async def backend_of(**answers: Answer) -> AsyncIterator[TfServingBackend]:
    """A backend called `tf` before a server that has these methods only; both end with the block."""
    async with serving(answers) as address:
        backend = TfServingBackend(GrpcLink("tf", address, max_message_bytes=MAX_MESSAGE_BYTES))
        try:
            yield backend
        finally:
            await backend.aclose()


def run(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a test's coroutine function to its end, or fail after half a minute."""

    async def bounded() -> None:
        async with asyncio.timeout(30):
            await story()

    asyncio.run(bounded())


class Stuck:
    """A method that never answers, and says when it was asked and when it was cancelled."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def answer(self, _request: bytes, _context: Any) -> bytes:
        self.asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()
        raise AssertionError("nobody sets the event")
