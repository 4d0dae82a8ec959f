"""How are REST and gRPC one ASGI application, for a server that has both on one port?

An ASGI application hears that its client has left only when it asks, and asking for it costs each request
more than it is worth. Here the server tells: each request has a key, and `leave` cancels the request of one.

Rules:
- A request whose client has left, or that has not arrived whole in time, has its task cancelled.
- A departure that is told before its request's task takes its first step counts when it does.
- `idle` waits for the end of every request, those included that come while it waits.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from gateway.http1.bounds import REASONS, Manners
from gateway.http1.cycle import CLIENT_LEFT
from gateway.servers.body import Message, Receive, Send
from gateway.servers.grpc_asgi import GrpcApp, is_grpc
from gateway.servers.grpc_calls import Refusal
from gateway.servers.rest import RestApi

__all__ = ["AsgiFront"]

_LATE: Final = 408
_MAX_DEPARTED: Final = 4096
"""Far more than there are requests whose tasks have not begun."""


class AsgiFront:
    """The application of both ports.

    Args:
        key: The header in which the server tells a request's key.
    """

    def __init__(self, rest: RestApi, grpc: GrpcApp, manners: Manners, *, key: bytes) -> None:
        self._rest = rest
        self._grpc = grpc
        self._manners = manners
        self._key = key
        self._open: dict[bytes, _Visit] = {}
        # Of `_open` those that have not arrived whole, the oldest first.
        self._arriving: dict[bytes, _Visit] = {}
        # Departures of requests that are not open: not yet, or no more. The oldest first.
        self._departed: dict[bytes, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._idle = asyncio.Event()
        self._idle.set()

    def __repr__(self) -> str:
        return f"<AsgiFront {len(self._open)} open>"

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one request."""
        key = _value(scope["headers"], self._key)
        if self._departed and key in self._departed:
            del self._departed[key]
            return
        began = asyncio.get_running_loop().time()
        visit = _Visit(receive, functools.partial(self._arriving.pop, key, None), began)
        self._open[key] = visit
        self._idle.clear()
        try:
            await self._serve(scope, key, visit, send)
        except asyncio.CancelledError:
            if not visit.was_ended:
                raise
        finally:
            del self._open[key]
            self._arriving.pop(key, None)
            if not self._open:
                self._idle.set()
        if visit.is_late:
            await self._refuse_late(scope, send)

    async def _serve(self, scope: Mapping[str, Any], key: bytes, visit: _Visit, send: Send) -> None:
        as_grpc = is_grpc(scope)
        if not (as_grpc and self._grpc.is_stream(scope["path"])):
            self._arriving[key] = visit
            if self._timer is None:
                self._watch_arrivals(visit)
        app = self._grpc if as_grpc else self._rest
        await app(scope, visit.receive, _bodiless(send) if scope["method"] == "HEAD" else send)

    def leave(self, key: bytes) -> None:
        """The client of the request with this key has left; one that has ended is nobody's."""
        visit = self._open.get(key)
        if visit is not None:
            visit.end()
            return
        self._departed[key] = None
        if len(self._departed) > _MAX_DEPARTED:
            del self._departed[next(iter(self._departed))]

    async def idle(self) -> None:
        """Wait until no request is open."""
        await self._idle.wait()

    # Requests that do not arrive ------------------------------------------------------------------

    def _watch_arrivals(self, oldest: _Visit) -> None:
        loop = asyncio.get_running_loop()
        at = oldest.began + self._manners.read_timeout_s
        self._timer = loop.call_at(at, self._give_up, loop)

    def _give_up(self, loop: asyncio.AbstractEventLoop) -> None:
        """Cancel what is late, and look again when the oldest of the others would be."""
        self._timer = None
        for visit in list(self._arriving.values()):
            if visit.began + self._manners.read_timeout_s > loop.time():
                self._watch_arrivals(visit)
                return
            visit.is_late = True
            visit.end()

    async def _refuse_late(self, scope: Mapping[str, Any], send: Send) -> None:
        self._manners.on_refusal(REASONS[_LATE])
        text = f"the request has not arrived whole within {self._manners.read_timeout_s:g} s"
        if is_grpc(scope):
            await self._grpc.refuse(scope, send, Refusal("DEADLINE_EXCEEDED", text))
            return
        body = orjson.dumps({"error": text})
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
        ]
        await send({"type": "http.response.start", "status": _LATE, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class _Visit:
    """One request while it is served, by the task that makes this."""

    __slots__ = ("_arrived", "_receive", "_task", "began", "is_late", "was_ended")

    def __init__(self, receive: Receive, arrived: Callable[[], object], began: float) -> None:
        self._receive = receive
        self._arrived = arrived
        self._task = asyncio.current_task()
        self.began = began
        self.is_late = False
        self.was_ended = False

    async def receive(self) -> Message:
        """What the application receives; the end of the request is noted on its way."""
        message = await self._receive()
        if not message.get("more_body", False):
            self._arrived()
        return message

    def end(self) -> None:
        """Cancel the task, as one whose client nobody answers."""
        assert self._task is not None, "a request is served by a task"
        self.was_ended = True
        self._task.cancel(CLIENT_LEFT)


def _bodiless(send: Send) -> Send:
    """As `send`, for a HEAD request: the head of the answer is sent, and none of its body."""

    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return send_head


def _value(headers: list[tuple[bytes, bytes]], wanted: bytes) -> bytes:
    for name, value in reversed(headers):  # the server adds it last
        if name == wanted:
            return value
    raise LookupError(f"the server sent no {wanted.decode()} with a request")
