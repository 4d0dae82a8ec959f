"""How does `grpc.aio` serve the gateway's methods?

A thin shell over `grpc_calls`: it shows a method its call, and tells its refusal as a status.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import Any, NoReturn, TypeAlias

import grpc

from gateway.codecs.trace_context import TRACEPARENT, TRACESTATE, read_trace
from gateway.messages import Trace
from gateway.servers.exchange import REQUEST_ID
from gateway.servers.grpc_calls import Messages, Refusal, Served, Stream, Trailing, Unary

__all__ = ["register"]

_Context: TypeAlias = "grpc.aio.ServicerContext[bytes, bytes]"
_Method: TypeAlias = "grpc.RpcMethodHandler[bytes, bytes]"

_told: ContextVar[Sequence[tuple[str, str | bytes]]] = ContextVar("_told", default=())
"""The metadata of the call that a task serves: gRPC gives every call a task of its own."""


def register(server: grpc.aio.Server, served: Served) -> None:
    """Add every method to `server`."""
    methods: dict[str, _Method] = {
        path: grpc.unary_unary_rpc_method_handler(functools.partial(_answer, method))
        for path, method in served.unary.items()
    }
    for path, stream in served.streams.items():
        methods[path] = grpc.stream_stream_rpc_method_handler(functools.partial(_run, stream))
    server.add_generic_rpc_handlers((_Methods(methods, served),))


class _Methods(grpc.GenericRpcHandler):
    """Every method on the port by its path.

    One for all of them: gRPC asks its handlers in turn. It tells the metadata here, before the message has
    come, and would have to build them again for whoever asks its context.
    """

    def __init__(self, methods: Mapping[str, _Method], served: Served) -> None:
        self._methods = methods
        self._served = served

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[Any, Any]:
        """The method that a call asks for; for one that nobody serves, what refuses it."""
        path = str(handler_call_details.method)
        method = self._methods.get(path)
        if method is None:
            return grpc.stream_stream_rpc_method_handler(
                functools.partial(_refuse, self._served, path)
            )
        _told.set(handler_call_details.invocation_metadata)
        return method


class _Metadata:
    """A call's metadata, text values only, looked up by lower-case name."""

    __slots__ = ("_pairs", "_values")

    def __init__(self, pairs: Sequence[tuple[str, str | bytes]]) -> None:
        self._pairs = pairs
        self._values = dict(pairs)

    def get(self, name: str, /) -> str | None:
        value = self._values.get(name)
        return value if isinstance(value, str) else None

    def trace(self, request_id: str, /) -> Trace | None:
        values = self._values
        if TRACEPARENT not in values and values.get(REQUEST_ID) != request_id:
            return None
        told: dict[str, list[str]] = {TRACEPARENT: [], TRACESTATE: []}
        for key, value in self._pairs:  # where a name may stand several times
            if key in told and isinstance(value, str):
                told[key].append(value)
        return read_trace(request_id, told[TRACEPARENT], told[TRACESTATE])


class _Call:
    """A call that `grpc.aio` brought."""

    __slots__ = ("_context", "metadata", "trailing")

    def __init__(self, context: _Context) -> None:
        self._context = context
        self.metadata = _Metadata(_told.get())
        self.trailing: Trailing = ()

    def time_remaining(self) -> float | None:
        return self._context.time_remaining()

    async def write(self, message: bytes, /) -> None:
        await self._context.write(message)


async def _answer(method: Unary, data: bytes, context: _Context) -> bytes:
    call = _Call(context)
    try:
        answer = await method(data, call)
    except Refusal as refusal:
        await _abort(context, refusal, call.trailing)
    if call.trailing:
        context.set_trailing_metadata(tuple(call.trailing))
    return answer


async def _run(method: Stream, requests: Messages, context: _Context) -> None:
    call = _Call(context)
    try:
        await method(requests, call)
    except Refusal as refusal:
        await _abort(context, refusal, call.trailing)


async def _refuse(served: Served, path: str, _: Messages, context: _Context) -> None:
    await _abort(context, served.unknown(path), ())


async def _abort(context: _Context, refusal: Refusal, trailing: Trailing) -> NoReturn:
    code = grpc.StatusCode[refusal.code]
    await context.abort(code, refusal.text, (*trailing, *refusal.trailing))
    raise AssertionError("abort always raises")
