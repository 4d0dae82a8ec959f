"""A server of the Open Inference Protocol in this process, whose answers a test writes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import grpc

from gateway.backends.grpc_link import GrpcLink
from gateway.backends.oip import OipBackend
from tests.backends.grpc_answers import Answer

MAX_MESSAGE_BYTES = 8 * 1024 * 1024


@asynccontextmanager
async def serving(
    answers: Mapping[str, Answer], address: str = "127.0.0.1:0"
) -> AsyncIterator[str]:
    """A running server that has these methods only; gives its address."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        name: grpc.unary_unary_rpc_method_handler(answer) for name, answer in answers.items()
    }
    service = "inference.GRPCInferenceService"
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, handlers)])
    port = server.add_insecure_port(address)
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(grace=None)


@asynccontextmanager
async def backend_at(address: str) -> AsyncIterator[OipBackend]:
    """A backend called `pt`, closed in the end."""
    backend = OipBackend(GrpcLink("pt", address, max_message_bytes=MAX_MESSAGE_BYTES))
    try:
        yield backend
    finally:
        await backend.aclose()


@asynccontextmanager
async def backend_of(answers: Mapping[str, Answer]) -> AsyncIterator[OipBackend]:
    """A backend called `pt`, before a server that has these methods only."""
    async with serving(answers) as address, backend_at(address) as backend:
        yield backend
