"""How do gRPC calls become requests, and answers gRPC messages again?

One port serves TF Serving's services and the Open Inference Protocol's. Methods take and give bytes; the
codecs read and write them, so no generated service class is needed. `grpc.aio` cancels the method when
its client cancels, disconnects or passes its deadline, which is all that a leaving client needs.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc

from gateway import __version__
from gateway.codecs import oip_proto, tfs_proto
from gateway.errors import GatewayBusy, GatewayError, Unsupported
from gateway.messages import Dialect, ExampleMethod, InferRequest, InferResponse, Target
from gateway.pipeline import Pipeline
from gateway.servers.exchange import EXPLAIN, REQUEST_ID, Desk, Exchange, clean_id
from gateway.servers.oip_rest import EXTENSIONS, timeout_s_of
from gateway.servers.problems import code_of, text_of
from gateway.servers.statuses import (
    describe_target,
    index_of,
    is_ready,
    tfs_statuses,
    versions_of,
)
from gateway.servers.tfs_examples import ExampleCalls

__all__ = ["GrpcApi"]

_log = logging.getLogger("tandem.grpc")

Context: TypeAlias = "grpc.aio.ServicerContext[bytes, bytes]"
Method: TypeAlias = Callable[[bytes, Context], Awaitable[bytes]]

PREDICTION = "tensorflow.serving.PredictionService"
MODEL = "tensorflow.serving.ModelService"
OIP = "inference.GRPCInferenceService"


@dataclass(frozen=True, slots=True)
class _Codec:
    """How a dialect reads a request and writes a response."""

    decode: Callable[[bytes], InferRequest]
    encode: Callable[[InferResponse], bytes]


_TFS = _Codec(tfs_proto.decode_request, tfs_proto.encode_response)
_OIP = _Codec(oip_proto.decode_request, oip_proto.encode_response)


class _Metadata:
    """A call's metadata, text values only, looked up by lower-case name."""

    __slots__ = ("_values",)

    def __init__(self, context: Context) -> None:
        pairs = context.invocation_metadata() or ()
        self._values = {str(key): value for key, value in pairs if isinstance(value, str)}

    def get(self, name: str, /) -> str | None:
        return self._values.get(name)


class GrpcApi:
    """The methods of every service on the gRPC port."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._pipeline: Pipeline = desk.pipeline
        self._examples = ExampleCalls(desk)

    def register(self, server: grpc.aio.Server) -> None:
        """Add every service to `server`."""
        for service, methods in self._services().items():
            handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
                name: grpc.unary_unary_rpc_method_handler(method)
                for name, method in methods.items()
            }
            server.add_generic_rpc_handlers(
                (grpc.method_handlers_generic_handler(service, handlers),)
            )

    def _services(self) -> Mapping[str, Mapping[str, Method]]:
        tfs = functools.partial(self._tell, "tfs_grpc")
        oip = functools.partial(self._tell, "oip_grpc")
        return {
            PREDICTION: {
                "Predict": self._predict,
                "Classify": functools.partial(self._ask, "Classify"),
                "Regress": functools.partial(self._ask, "Regress"),
                "MultiInference": functools.partial(self._ask, "MultiInference"),
                "GetModelMetadata": functools.partial(tfs, self._tfs_metadata),
            },
            MODEL: {
                "GetModelStatus": functools.partial(tfs, self._tfs_status),
                "HandleReloadConfigRequest": functools.partial(tfs, _no_reload),
            },
            OIP: {
                "ModelInfer": self._model_infer,
                "ServerLive": functools.partial(oip, _server_live),
                "ServerReady": functools.partial(oip, self._server_ready),
                "ModelReady": functools.partial(oip, self._model_ready),
                "ServerMetadata": functools.partial(oip, _server_metadata),
                "ModelMetadata": functools.partial(oip, self._model_metadata),
                "RepositoryIndex": functools.partial(oip, self._repository_index),
            },
        }

    # Inference ------------------------------------------------------------------------------------

    async def _predict(self, data: bytes, context: Context) -> bytes:
        return await self._infer("tfs_grpc", data, context, _TFS)

    async def _model_infer(self, data: bytes, context: Context) -> bytes:
        return await self._infer("oip_grpc", data, context, _OIP)

    async def _infer(
        self,
        dialect: Dialect,
        data: bytes,
        context: Context,
        codec: _Codec,
    ) -> bytes:
        async def answer(exchange: Exchange, metadata: _Metadata) -> bytes:
            request = codec.decode(data)
            deadline_s = _asked_s(request, context)
            return codec.encode(await self._answer(exchange, request, metadata, deadline_s))

        return await self._serve(dialect, data, context, answer)

    async def _ask(self, method: ExampleMethod, data: bytes, context: Context) -> bytes:
        async def answer(exchange: Exchange, metadata: _Metadata) -> bytes:
            return await self._examples.answer_message(
                exchange, metadata, method, data, timeout_s=context.time_remaining()
            )

        return await self._serve("tfs_grpc", data, context, answer)

    async def _serve(
        self,
        dialect: Dialect,
        data: bytes,
        context: Context,
        answer: Callable[[Exchange, _Metadata], Awaitable[bytes]],
    ) -> bytes:
        """Answer one call within an exchange: its errors become statuses, and it is booked once."""
        metadata = _Metadata(context)
        encoded = b""
        with self._desk.open(dialect, clean_id(metadata.get(REQUEST_ID) or "")) as exchange:
            try:
                self._desk.hold(exchange, len(data))
                encoded = await answer(exchange, metadata)
            except GatewayError as error:
                exchange.error = error
            except Exception as error:  # noqa: BLE001  # a supervisor: the client gets a status, we the trace
                _log.exception("a call failed inside the gateway")
                exchange.error = GatewayError(f"internal error: {type(error).__name__}")
            trailing = [(REQUEST_ID, exchange.request_id)]
            if metadata.get(EXPLAIN):
                trailing += exchange.facts(self._desk.clock())
        context.set_trailing_metadata(tuple(trailing))
        if exchange.error is not None:
            await _abort(context, exchange.error, dialect, exchange.target)
        return encoded

    async def _answer(
        self,
        exchange: Exchange,
        request: InferRequest,
        metadata: _Metadata,
        timeout_s: float | None,
    ) -> InferResponse:
        asked = Target(
            model=request.model,
            version=request.version,
            label=request.label,
        )
        exchange.target = target = self._desk.target(metadata, exchange, asked, request.signature)
        deadline = self._desk.deadline(metadata, exchange, timeout_s)
        exchange.route = route = self._pipeline.route(target)
        exchange.answer = await self._pipeline.infer(
            route,
            request,
            deadline=deadline,
            request_id=exchange.request_id,
            as_is=exchange.dialect == "tfs_grpc",
        )
        return exchange.answer.response

    # Questions about models -----------------------------------------------------------------------

    async def _tell(
        self,
        dialect: Dialect,
        method: Callable[[bytes], tuple[Target | None, Callable[[], bytes]]],
        data: bytes,
        context: Context,
    ) -> bytes:
        """Answer a question that needs no waiting: `method` reads it, and returns what will tell."""
        target: Target | None = None
        try:
            target, tell = method(data)
            return tell()
        except GatewayError as error:
            await _abort(context, error, dialect, target)
            raise AssertionError("abort always raises") from error

    def _tfs_metadata(self, data: bytes) -> tuple[Target, Callable[[], bytes]]:
        target = tfs_proto.decode_metadata_request(data)
        return target, lambda: tfs_proto.encode_metadata(
            describe_target(self._pipeline.table, target)
        )

    def _tfs_status(self, data: bytes) -> tuple[Target, Callable[[], bytes]]:
        target = tfs_proto.decode_status_request(data)
        return target, lambda: tfs_proto.encode_status(tfs_statuses(self._pipeline.table, target))

    def _server_ready(self, _: bytes) -> tuple[None, Callable[[], bytes]]:
        return None, lambda: oip_proto.encode_server_ready(ready=self._pipeline.is_ready)

    def _model_ready(self, data: bytes) -> tuple[Target, Callable[[], bytes]]:
        model, version = oip_proto.decode_model_request(data)

        def tell() -> bytes:
            ready = is_ready(self._pipeline.table.model(model), version)
            return oip_proto.encode_model_ready(ready=ready and self._pipeline.is_ready)

        return Target(model=model, version=version), tell

    def _model_metadata(self, data: bytes) -> tuple[Target, Callable[[], bytes]]:
        model, version = oip_proto.decode_model_request(data)
        target = Target(model=model, version=version)

        def tell() -> bytes:
            table = self._pipeline.table
            description = describe_target(table, target)
            return oip_proto.encode_model_metadata(description, versions_of(table.model(model)))

        return target, tell

    def _repository_index(self, data: bytes) -> tuple[None, Callable[[], bytes]]:
        ready_only = oip_proto.decode_repository_index_request(data)
        return None, lambda: oip_proto.encode_repository_index(
            index_of(self._pipeline.table, ready_only=ready_only)
        )


def _asked_s(request: InferRequest, context: Context) -> float | None:
    """The shorter of the call's own deadline and the `timeout` parameter, in seconds from now."""
    asked = (context.time_remaining(), timeout_s_of(request))
    limits = [seconds for seconds in asked if seconds is not None]
    return min(limits) if limits else None


def _no_reload(_: bytes) -> tuple[None, Callable[[], bytes]]:
    raise Unsupported(
        "Tandem's models are set in its own configuration file, which is read again when it changes;"
        " a ModelServerConfig belongs to the TensorFlow Serving behind it"
    )


def _server_live(_: bytes) -> tuple[None, Callable[[], bytes]]:
    return None, lambda: oip_proto.encode_server_live(live=True)


def _server_metadata(_: bytes) -> tuple[None, Callable[[], bytes]]:
    return None, lambda: oip_proto.encode_server_metadata("tandem", __version__, EXTENSIONS)


async def _abort(
    context: Context, error: GatewayError, dialect: Dialect, target: Target | None
) -> Any:
    code = grpc.StatusCode[code_of(error, dialect)]
    trailing = list(context.trailing_metadata() or ())
    if isinstance(error, GatewayBusy) and error.retryable:
        # gRPC's own convention for "come back after", in milliseconds.
        trailing.append(("grpc-retry-pushback-ms", str(round(error.retry_after_s * 1e3))))
    await context.abort(code, text_of(error, dialect, target), tuple(trailing))
