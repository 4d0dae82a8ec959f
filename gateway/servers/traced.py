"""What goes back with every answer that is no prediction? The id of its request, and its trace.

Predictions are exchanges, which return both themselves (`rest`, `grpc_calls`); all other routes and methods are
wrapped in this, so that nothing is added to the way of a prediction.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, TypeVar

from gateway.codecs.trace_context import TRACEPARENT, TRACESTATE, read_trace, returned
from gateway.messages import Trace
from gateway.servers.body import Send
from gateway.servers.exchange import REQUEST_ID, Desk, clean_id
from gateway.servers.grpc_calls import Call
from gateway.servers.http_call import AsgiHeaders, Pairs

__all__ = ["trace_of", "traced", "with_trace"]

_In = TypeVar("_In")
_Out = TypeVar("_Out")


def traced(
    desk: Desk, method: Callable[[_In, Call], Awaitable[_Out]]
) -> Callable[[_In, Call], Awaitable[_Out]]:
    """A gRPC method, unary or of streams, whose calls end with their id and their trace."""

    async def serve(sent: _In, call: Call) -> _Out:
        request_id = clean_id(call.metadata.get(REQUEST_ID) or "") or next(desk.ids)
        call.trailing = [(REQUEST_ID, request_id), *returned(call.metadata.trace(request_id))]
        return await method(sent, call)

    return serve


def with_trace(desk: Desk, scope: Mapping[str, Any], send: Send) -> Send:
    """The channel of an HTTP answer to which the id and the trace of its request are added."""
    headers = AsgiHeaders(scope["headers"])
    request_id = clean_id(headers.get(REQUEST_ID) or "") or next(desk.ids)
    found = [(REQUEST_ID, request_id), *returned(trace_of(request_id, scope["headers"]))]
    told = [(name.encode(), value.encode("latin-1")) for name, value in found]

    async def send_with_trace(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *told]
        await send(message)

    return send_with_trace


def trace_of(request_id: str, pairs: Pairs) -> Trace:
    """What the headers of an HTTP request say of its trace."""
    said: dict[str, list[str]] = {TRACEPARENT: [], TRACESTATE: []}
    for name, value in pairs:
        if (key := name.decode("latin-1")) in said:
            said[key].append(value.decode("latin-1"))
    return read_trace(request_id, said[TRACEPARENT], said[TRACESTATE])
