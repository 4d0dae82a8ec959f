"""Which gRPC methods of the Open Inference Protocol are there, and what do they answer?

The protocol's own, and of Triton's extensions streams, configuration, statistics and the index. The rest
of Triton's service is refused by name, so that a client learns why.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from gateway import __version__
from gateway.codecs import oip_proto
from gateway.codecs.oip_model_config import decode_config_request, encode_config_proto
from gateway.codecs.oip_proto_stream import encode_stream_error, encode_stream_response
from gateway.codecs.oip_statistics import decode_statistics_request, encode_statistics_proto
from gateway.errors import GatewayError, Unsupported
from gateway.messages import InferRequest, Target
from gateway.pipeline import Pipeline
from gateway.servers import grpc_questions
from gateway.servers.exchange import Desk, Exchange
from gateway.servers.grpc_calls import Call, Calls, Messages, Question, Unary
from gateway.servers.grpc_direct import DirectCalls
from gateway.servers.oip_infer import OipPredict
from gateway.servers.oip_stream import Streams
from gateway.servers.oip_told import EXTENSIONS, configuration_of, statistics_of
from gateway.servers.problems import text_of
from gateway.servers.statuses import describe_target, index_of, is_ready, versions_of
from gateway.servers.traced import traced

__all__ = ["OIP", "OipGrpc"]

OIP = "inference.GRPCInferenceService"

_Told: TypeAlias = "tuple[Target | None, Callable[[], bytes]]"

_NO_REPOSITORY = (
    "models are set in Tandem's configuration file, which is read again when it changes"
)
_NO_MEMORY = "shared memory is not spoken here, send the tensors' data"

_REFUSED: Mapping[str, str] = {
    "RepositoryModelLoad": _NO_REPOSITORY,
    "RepositoryModelUnload": _NO_REPOSITORY,
    "SystemSharedMemoryStatus": _NO_MEMORY,
    "SystemSharedMemoryRegister": _NO_MEMORY,
    "SystemSharedMemoryUnregister": _NO_MEMORY,
    "CudaSharedMemoryStatus": _NO_MEMORY,
    "CudaSharedMemoryRegister": _NO_MEMORY,
    "CudaSharedMemoryUnregister": _NO_MEMORY,
    "TraceSetting": "traces are not set over this API",
    "LogSettings": "logging is set in Tandem's configuration file (log.level)",
}


class OipGrpc:
    """The methods of `inference.GRPCInferenceService`."""

    def __init__(self, desk: Desk, calls: Calls, streams: Streams) -> None:
        self._desk = desk
        self._calls = calls
        self._streams = streams
        self._pipeline: Pipeline = desk.pipeline
        self._predict = OipPredict(desk, calls)

    def unary(self) -> Mapping[str, Unary]:
        """Every method that takes one message and gives one."""
        tell = functools.partial(grpc_questions.tell, "oip_grpc")
        told: Mapping[str, Callable[[bytes], _Told]] = {
            "ServerLive": _server_live,
            "ServerReady": self._server_ready,
            "ModelReady": self._model_ready,
            "ServerMetadata": _server_metadata,
            "ModelMetadata": self._model_metadata,
            "ModelConfig": self._model_config,
            "RepositoryIndex": self._repository_index,
            **{name: functools.partial(_refuse, text) for name, text in _REFUSED.items()},
        }
        questions = {name: functools.partial(tell, method) for name, method in told.items()}
        find_out = functools.partial(grpc_questions.find_out, "oip_grpc")
        questions["ModelStatistics"] = functools.partial(find_out, self._model_statistics)
        direct = DirectCalls(self._desk, self._calls)
        infer = functools.partial(direct.serve, self._predict)
        told_of = {name: traced(self._desk, method) for name, method in questions.items()}
        return {"ModelInfer": infer, **told_of}

    async def stream(self, requests: Messages, call: Call) -> None:
        """ModelStreamInfer: one answer for each request, in their order; an error is an answer too."""

        async def answer(data: bytes) -> bytes:
            return await self._streamed(Question(data, call.metadata, call.time_remaining()))

        await self._streams.run(requests, call, answer)

    # Inference ------------------------------------------------------------------------------------

    async def _streamed(self, question: Question) -> bytes:
        read: list[InferRequest] = []

        async def answer(exchange: Exchange, question: Question) -> bytes:
            read.append(await self._predict.read_any(exchange, question))
            return await self._predict.answer_to(exchange, question, read[0])

        with self._calls.opened("oip_grpc", question.metadata) as exchange:
            encoded = await self._calls.attempt(exchange, question, answer)
        if exchange.error is None:
            return encode_stream_response(encoded)
        text = text_of(exchange.error, "oip_grpc", exchange.target)
        return encode_stream_error(text, read[0].id if read else "")

    # Questions ------------------------------------------------------------------------------------

    def _server_ready(self, _: bytes) -> _Told:
        return None, lambda: oip_proto.encode_server_ready(ready=self._pipeline.is_ready)

    def _model_ready(self, data: bytes) -> _Told:
        model, version = oip_proto.decode_model_request(data)

        def tell() -> bytes:
            ready = is_ready(self._pipeline.table.model(model), version)
            return oip_proto.encode_model_ready(ready=ready and self._pipeline.is_ready)

        return Target(model=model, version=version), tell

    def _model_metadata(self, data: bytes) -> _Told:
        model, version = oip_proto.decode_model_request(data)
        target = Target(model=model, version=version)

        def tell() -> bytes:
            table = self._pipeline.table
            description = describe_target(table, target)
            return oip_proto.encode_model_metadata(description, versions_of(table.model(model)))

        return target, tell

    def _model_config(self, data: bytes) -> _Told:
        model, version = decode_config_request(data)
        target = Target(model=model, version=version)
        return target, lambda: encode_config_proto(*configuration_of(self._pipeline, target))

    def _model_statistics(self, data: bytes) -> tuple[Target, Callable[[], Awaitable[bytes]]]:
        model, version = decode_statistics_request(data)

        async def find_out() -> bytes:
            return encode_statistics_proto(await statistics_of(self._desk, model, version))

        return Target(model=model, version=version), find_out

    def _repository_index(self, data: bytes) -> _Told:
        ready_only = oip_proto.decode_repository_index_request(data)
        return None, lambda: oip_proto.encode_repository_index(
            index_of(self._pipeline.table, ready_only=ready_only)
        )


def _server_live(_: bytes) -> _Told:
    return None, lambda: oip_proto.encode_server_live(live=True)


def _server_metadata(_: bytes) -> _Told:
    return None, lambda: oip_proto.encode_server_metadata("tandem", __version__, EXTENSIONS)


def _refuse(text: str, _: bytes) -> _Told:
    error: GatewayError = Unsupported(text)
    raise error
