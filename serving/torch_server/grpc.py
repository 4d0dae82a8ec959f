"""The Open Inference Protocol over gRPC: bytes in, bytes out, on grpc.aio."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeAlias, cast

import grpc

from gateway import __version__
from gateway.codecs import oip_proto
from gateway.errors import GatewayError, NotReady
from gateway.messages import Deadline
from serving.torch_server.inference import EXTENSIONS, SERVER_NAME, Inference
from serving.torch_server.settings import Settings

__all__ = ["make_grpc_server"]

_SERVICE = "inference.GRPCInferenceService"
_MAX_TIMEOUT_S = 86_400.0  # a client without a deadline may send one of centuries

_Context: TypeAlias = "grpc.aio.ServicerContext[bytes, bytes]"
_Method: TypeAlias = Callable[[bytes, _Context], Awaitable[bytes]]


def make_grpc_server(inference: Inference, settings: Settings) -> grpc.aio.Server:
    """A server that answers from `inference`; it listens nowhere yet."""
    server = grpc.aio.server(
        options=(
            ("grpc.max_receive_message_length", settings.max_body_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),
        )
    )
    service = _Service(inference, settings.default_timeout_s)
    methods: dict[str, _Method] = {
        "ServerLive": service.server_live,
        "ServerReady": service.server_ready,
        "ServerMetadata": service.server_metadata,
        "ModelReady": service.model_ready,
        "ModelMetadata": service.model_metadata,
        "ModelInfer": service.model_infer,
        "RepositoryIndex": service.repository_index,
    }
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        name: grpc.unary_unary_rpc_method_handler(partial(_answer, method))
        for name, method in methods.items()
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, handlers),))
    return server


async def _answer(method: _Method, data: bytes, context: _Context) -> bytes:
    try:
        return await method(data, context)
    except GatewayError as exc:
        await context.abort(grpc.StatusCode[exc.grpc_code], str(exc))


class _Service:
    def __init__(self, inference: Inference, default_timeout_s: float) -> None:
        self._inference = inference
        self._default_timeout_s = default_timeout_s

    async def server_live(self, data: bytes, context: _Context) -> bytes:  # noqa: ARG002
        return oip_proto.encode_server_live(live=True)

    async def server_ready(self, data: bytes, context: _Context) -> bytes:  # noqa: ARG002
        return oip_proto.encode_server_ready(ready=self._inference.is_ready)

    async def server_metadata(self, data: bytes, context: _Context) -> bytes:  # noqa: ARG002
        return oip_proto.encode_server_metadata(SERVER_NAME, __version__, EXTENSIONS)

    async def model_ready(self, data: bytes, context: _Context) -> bytes:  # noqa: ARG002
        model, version = oip_proto.decode_model_request(data)
        try:
            ready = self._inference.is_model_ready(model, version)
        except NotReady:
            ready = False
        return oip_proto.encode_model_ready(ready=ready)

    async def model_metadata(self, data: bytes, context: _Context) -> bytes:  # noqa: ARG002
        model, version = oip_proto.decode_model_request(data)
        description, versions = self._inference.describe(model, version)
        return oip_proto.encode_model_metadata(description, versions)

    async def repository_index(self, data: bytes, context: _Context) -> bytes:  # noqa: ARG002
        ready_only = oip_proto.decode_repository_index_request(data)
        return oip_proto.encode_repository_index(self._inference.index(ready_only=ready_only))

    async def model_infer(self, data: bytes, context: _Context) -> bytes:
        # None without a deadline, whatever the annotation says.
        left_s = cast("float | None", context.time_remaining())
        timeout_s = self._default_timeout_s if left_s is None else min(left_s, _MAX_TIMEOUT_S)
        deadline = Deadline.after(asyncio.get_running_loop().time(), timeout_s)
        response = await self._inference.infer(partial(oip_proto.decode_request, data), deadline)
        return oip_proto.encode_response(response)
