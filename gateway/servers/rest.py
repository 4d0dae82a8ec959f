"""How do bytes over HTTP become a request, and an answer bytes again?

The predict routes are raw ASGI endpoints inside the FastAPI application: `RestApi.__call__` hands them to
`RawRoutes` before any middleware or router runs, because on one core those would cost more than the rest
of the gateway together. Everything else on this port is ordinary FastAPI.

Every raw request passes through `RawRoutes.__call__`, which has its body read within its limit, turns errors
into the dialect's own, and books the request exactly once. Its task is cancelled when its client leaves.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

from fastapi import FastAPI

from gateway.codecs.trace_context import TRACEPARENT, returned
from gateway.errors import CallerLeft
from gateway.http1.cycle import ANSWER
from gateway.messages import Dialect
from gateway.servers.body import Receive, Send, read_body
from gateway.servers.cors import with_cors
from gateway.servers.exchange import EXPLAIN, REQUEST_ID, Desk, Exchange, clean_id
from gateway.servers.http_call import AsgiHeaders, Call, Endpoint, Reply
from gateway.servers.openapi import with_predict_routes
from gateway.servers.replies import replied
from gateway.servers.traced import trace_of, with_trace

__all__ = ["RawRoutes", "RestApi", "dialect_of"]

_REQUEST_ID, _EXPLAIN = REQUEST_ID.encode(), EXPLAIN.encode()
_TRACEPARENT = TRACEPARENT.encode()
_NO_MODEL = ("/predictions", "/explanations")  # which TorchServe says in its own way


class RawRoutes:
    """The raw ASGI endpoints, by dialect."""

    def __init__(self, desk: Desk, endpoints: Mapping[Dialect, Endpoint]) -> None:
        self.desk = desk
        self._endpoints = endpoints

    async def __call__(
        self, dialect: Dialect, scope: Mapping[str, Any], receive: Receive, send: Send
    ) -> None:
        """Serve one request."""
        headers = AsgiHeaders(scope["headers"])
        asked_id = headers.raw.get(_REQUEST_ID)
        request_id = "" if asked_id is None else clean_id(asked_id.decode("latin-1"))
        facts: list[tuple[str, str]] = []
        with self.desk.open(dialect, request_id) as exchange:
            if request_id or _TRACEPARENT in headers.raw:
                exchange.trace = trace_of(exchange.request_id, scope["headers"])
                facts = returned(exchange.trace)
            reply = await self._reply(exchange, scope, receive, headers)
            if reply is None:
                return
            if _EXPLAIN in headers.raw and headers.get(EXPLAIN):
                facts += exchange.facts(self.desk.clock())
        if facts or reply.headers or ANSWER not in scope.get("extensions", ()):
            await _send(send, reply, exchange.request_id, facts)
            return
        whole = {
            "type": ANSWER,
            "status": reply.status,
            "content_type": reply.content_type,
            "request_id": exchange.request_id.encode(),
            "body": reply.body,
        }
        await send(whole)

    async def _reply(
        self, exchange: Exchange, scope: Mapping[str, Any], receive: Receive, headers: AsgiHeaders
    ) -> Reply | None:
        """The endpoint's reply, or its error's; None when the client left before its body was here.

        A client that leaves later has this task cancelled.
        """
        reply = await replied(exchange, self._answer(exchange, scope, receive, headers))
        return None if isinstance(exchange.error, CallerLeft) else reply

    async def _answer(
        self, exchange: Exchange, scope: Mapping[str, Any], receive: Receive, headers: AsgiHeaders
    ) -> Reply:
        path = scope["raw_path"].decode("latin-1")
        endpoint = self._endpoints[exchange.dialect]
        try:
            limit = self.desk.limits.max_body_bytes
            body = await read_body(receive, headers.raw, limit, exchange.hold)
            exchange.started = self.desk.clock()
            if exchange.dialect == "tfs_rest" and scope["query_string"]:
                path += f"?{scope['query_string'].decode('latin-1')}"  # part of what is matched
            return await endpoint(exchange, Call(scope["method"], path, headers, body))
        finally:
            if exchange.target is None:
                # The body was not even read; the books still name the model.
                exchange.target = endpoint.target_of(scope["method"], path)


async def _send(
    send: Send, reply: Reply, request_id: str, facts: Sequence[tuple[str, str]]
) -> None:
    headers = [
        (b"content-type", reply.content_type),
        (b"content-length", b"%d" % len(reply.body)),
        (_REQUEST_ID, request_id.encode()),
        *reply.headers,
        *[(name.encode(), value.encode("latin-1")) for name, value in facts],
    ]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})


def dialect_of(method: str, path: str) -> Dialect | None:
    """The dialect whose raw endpoint takes this request, or None for FastAPI's routes."""
    if path.startswith(("/v1/", "/V1/")):  # TF Serving takes either
        return "tfs_rest"
    if method == "POST" and path.startswith("/v2/models/") and path.endswith("/infer"):
        return "oip_rest"
    if path.startswith(("/predictions/", "/explanations/")) or path in _NO_MODEL:
        return "torchserve_rest"
    return None


class RestApi(FastAPI):
    """The REST application: raw predict routes first, FastAPI's own after them."""

    raw_routes: RawRoutes | None = None
    has_cors: bool = False

    def openapi(self) -> dict[str, Any]:
        """The description that /docs shows, the raw routes included."""
        return with_predict_routes(super().openapi())

    def __call__(self, scope: Any, receive: Any, send: Any) -> Coroutine[Any, Any, None]:
        """Serve one ASGI connection."""
        if scope["type"] == "http" and self.raw_routes is not None:
            dialect = dialect_of(scope["method"], scope["path"])
            if dialect is not None:
                if self.has_cors and dialect == "tfs_rest":
                    scope, send = with_cors(scope, send)
                return self.raw_routes(dialect, scope, receive, send)
            send = with_trace(self.raw_routes.desk, scope, send)
        return super().__call__(scope, receive, send)
