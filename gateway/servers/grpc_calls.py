"""How is one gRPC call served: its metadata, its exchange, its error as a status?

What every service on the gRPC port has in common; which methods there are is in `grpc`, `oip_grpc` and
`grpc_health`. `grpc.aio` cancels the method when its client cancels, disconnects or passes its deadline,
which is all that a leaving client needs.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import grpc

from gateway.codecs.named_model import model_named
from gateway.codecs.trace_context import TRACEPARENT, TRACESTATE, read_trace, returned
from gateway.errors import GatewayBusy, GatewayError
from gateway.messages import Dialect, InferRequest, Target, Trace
from gateway.pipeline import Answer
from gateway.servers.exchange import EXPLAIN, REQUEST_ID, Desk, Exchange, clean_id
from gateway.servers.problems import code_of, text_of

__all__ = ["Answering", "CallMetadata", "Calls", "Context", "Method", "Questions", "abort"]

_log = logging.getLogger("tandem.grpc")

Context: TypeAlias = "grpc.aio.ServicerContext[bytes, bytes]"
Method: TypeAlias = Callable[[bytes, Context], Awaitable[bytes]]
Questions: TypeAlias = AsyncIterator[bytes]


class CallMetadata:
    """A call's metadata, text values only, looked up by lower-case name."""

    __slots__ = ("_pairs", "_values")

    def __init__(self, context: Context) -> None:
        self._pairs = pairs = context.invocation_metadata() or ()
        self._values = {str(key): value for key, value in pairs if isinstance(value, str)}

    def get(self, name: str, /) -> str | None:
        """The value, or None."""
        return self._values.get(name)

    def trace(self, request_id: str) -> Trace | None:
        """What the caller brought to find the request of this id again, None if nothing."""
        if TRACEPARENT not in self._values and self._values.get(REQUEST_ID) != request_id:
            return None
        told: dict[str, list[str]] = {TRACEPARENT: [], TRACESTATE: []}
        for key, value in self._pairs:  # where a name may stand several times
            if str(key) in told and isinstance(value, str):
                told[str(key)].append(value)
        return read_trace(request_id, told[TRACEPARENT], told[TRACESTATE])


Answering: TypeAlias = Callable[[Exchange, CallMetadata], Awaitable[bytes]]
"""Gives an exchange its answer, as bytes; raises GatewayError."""


class Calls:
    """Serves calls within exchanges."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def serve(
        self, dialect: Dialect, data: bytes, context: Context, answer: Answering
    ) -> bytes:
        """Answer one call within an exchange: its errors become statuses, and it is booked once."""
        metadata = CallMetadata(context)
        with self._desk.open(dialect, clean_id(metadata.get(REQUEST_ID) or "")) as exchange:
            exchange.trace = metadata.trace(exchange.request_id)
            encoded = await self.attempt(exchange, data, metadata, answer)
            trailing = [(REQUEST_ID, exchange.request_id), *returned(exchange.trace)]
            if metadata.get(EXPLAIN):
                trailing += exchange.facts(self._desk.clock())
        context.set_trailing_metadata(tuple(trailing))
        if exchange.error is not None:
            await abort(context, exchange.error, dialect, exchange.target)
        return encoded

    async def attempt(
        self, exchange: Exchange, data: bytes, metadata: CallMetadata, answer: Answering
    ) -> bytes:
        """The answer's bytes; where there is none, b"" and the exchange's error."""
        try:
            self._desk.hold(exchange, len(data))
            return await answer(exchange, metadata)
        except GatewayError as error:
            exchange.error = error
            exchange.target = exchange.target or self._named(data)
        except Exception as error:  # noqa: BLE001  # a supervisor: the client gets a status, we the trace
            _log.exception("a call failed inside the gateway")
            exchange.error = GatewayError(f"internal error: {type(error).__name__}")
        return b""

    def _named(self, data: bytes) -> Target | None:
        """The model of a message that could not be read, for the books; None if it names none of ours."""
        model = model_named(data, self._desk.pipeline.table.models)
        return Target(model=model) if model else None

    async def infer(
        self,
        exchange: Exchange,
        request: InferRequest,
        metadata: CallMetadata,
        timeout_s: float | None,
    ) -> Answer:
        """Ask the pipeline, as the call's metadata and the exchange's dialect say."""
        asked = Target(model=request.model, version=request.version, label=request.label)
        exchange.target = target = self._desk.target(metadata, exchange, asked, request.signature)
        deadline = self._desk.deadline(metadata, exchange, timeout_s)
        pipeline = self._desk.pipeline
        exchange.route = route = pipeline.route(target)
        exchange.answer = await pipeline.infer(
            route,
            request,
            deadline=deadline,
            request_id=exchange.request_id,
            as_is=exchange.dialect == "tfs_grpc",
            trace=exchange.trace,
        )
        return exchange.answer

    @staticmethod
    async def tell(
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
            await abort(context, error, dialect, target)
            raise AssertionError("abort always raises") from error


async def abort(
    context: Context, error: GatewayError, dialect: Dialect, target: Target | None
) -> Any:
    """End the call with the error's status, text, and when to come back; always raises."""
    code = grpc.StatusCode[code_of(error, dialect)]
    trailing = list(context.trailing_metadata() or ())
    if isinstance(error, GatewayBusy) and error.retryable:
        # gRPC's own convention for "come back after", in milliseconds.
        trailing.append(("grpc-retry-pushback-ms", str(round(error.retry_after_s * 1e3))))
    await context.abort(code, text_of(error, dialect, target), tuple(trailing))
