"""How does an ASGI server serve the gateway's gRPC methods?

A thin shell over `grpc_calls`, as `grpc_aio` is: HTTP/2 streams in, messages and trailers out. The server must
have ASGI's extension `http.response.trailers`, and cancel the task of a client that leaves; `asgi_front`
sees to the second, and keeps the time for whoever sends too slowly.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from typing import Any, Final

import grpc

from gateway.codecs.trace_context import TRACEPARENT, TRACESTATE, read_trace
from gateway.messages import Trace
from gateway.servers.body import Message, Receive, Send
from gateway.servers.exchange import REQUEST_ID
from gateway.servers.grpc_calls import Refusal, Served, Stream, Trailing, Unary
from gateway.servers.grpc_frames import (
    ACCEPTED,
    Frames,
    framed,
    only_message,
    percent_encoded,
    timeout_s_of,
)

__all__ = ["GrpcApp", "is_grpc"]

_log = logging.getLogger("tandem.grpc")

_CONTENT_TYPE: Final = b"application/grpc"
_TRACEPARENT, _TRACESTATE = TRACEPARENT.encode(), TRACESTATE.encode()
_REQUEST_ID = REQUEST_ID.encode()
_CODES: Final = {code.name: b"%d" % code.value[0] for code in grpc.StatusCode}
_HEADERS: Final = [(b"content-type", _CONTENT_TYPE), (b"grpc-accept-encoding", ACCEPTED)]
_START: Final = {
    "type": "http.response.start",
    "status": 200,
    "headers": _HEADERS,
    "trailers": True,
}
_OK: Final = [(b"grpc-status", b"0")]


def is_grpc(scope: Mapping[str, Any]) -> bool:
    """Whether an HTTP request is a gRPC call; gRPC-Web is none, nor is anything over HTTP/1."""
    if scope["http_version"].startswith("1"):
        return False
    for name, value in scope["headers"]:
        if name == b"content-type":
            return bool(value.startswith(_CONTENT_TYPE) and value[16:17] in (b"", b"+", b";"))
    return False


class GrpcApp:
    """The gRPC methods as an ASGI application.

    Args:
        max_message_bytes: What is more than twice as large is refused before it is read.
        clock: Seconds of the loop's clock.
    """

    def __init__(
        self, served: Served, *, max_message_bytes: int, clock: Callable[[], float]
    ) -> None:
        self._served = served
        self._most = 2 * max_message_bytes
        self._clock = clock

    def is_stream(self, path: str) -> bool:
        """Whether a call of this method may last as long as its client wishes."""
        return path in self._served.streams

    def __call__(
        self, scope: Mapping[str, Any], receive: Receive, send: Send
    ) -> Coroutine[Any, Any, None]:
        """Serve one call. It may be cancelled at any time, and leaves nothing behind."""
        if scope["method"] != "POST":
            return _not_allowed(send)
        path, call = scope["path"], _Call(scope["headers"], self._clock, send)
        unary = self._served.unary.get(path)
        if unary is not None:
            return self._answer(unary, call, receive, send)
        stream = self._served.streams.get(path)
        if stream is None:
            return call.refuse(self._served.unknown(path))
        return self._run(stream, call, receive)

    async def refuse(self, scope: Mapping[str, Any], send: Send, refusal: Refusal) -> None:
        """End a call that was not served, and whose answer has not begun."""
        await _Call(scope["headers"], self._clock, send).refuse(refusal)

    async def _answer(self, method: Unary, call: _Call, receive: Receive, send: Send) -> None:
        try:
            body = await self._body(receive)
            message = only_message(body, self._most, call.encoding)
            answer = await method(message, call)
        except _Left:
            return
        except Refusal as refusal:
            await call.refuse(refusal)
            return
        except Exception as error:  # noqa: BLE001  # a supervisor: the client gets a status, we the trace
            await call.refuse(_internal(error))
            return
        await send(dict(_START))
        await send({"type": "http.response.body", "body": framed(answer)})
        await send({"type": "http.response.trailers", "headers": _OK + _pairs(call.trailing)})

    async def _run(self, method: Stream, call: _Call, receive: Receive) -> None:
        try:
            async with (
                asyncio.timeout_at(call.deadline_at),
                contextlib.aclosing(self._messages(call, receive)) as messages,
            ):
                await method(messages, call)
        except TimeoutError:
            await call.refuse(Refusal("DEADLINE_EXCEEDED", "Deadline Exceeded"))
        except Exception as error:  # noqa: BLE001  # as above
            cause = _first_of(error)
            if not isinstance(cause, _Left):
                await call.refuse(cause if isinstance(cause, Refusal) else _internal(error))
        else:
            await call.finish()

    async def _body(self, receive: Receive) -> bytes:
        """The whole body of a call that has one message.

        Raises:
            Refusal: it is larger than any message may be.
            _Left: the client left before its end.
        """
        event = await receive()
        if event["type"] == "http.request" and not event.get("more_body", False):
            whole: bytes = event.get("body", b"")  # in one piece, as most come
            return whole
        parts, size = [_piece(event)], len(event.get("body", b""))
        while event.get("more_body", False):
            if size > self._most + len(framed(b"")):
                raise Refusal(
                    "RESOURCE_EXHAUSTED",
                    f"got a message larger than max ({size} and more vs. {self._most})",
                )
            event = await receive()
            parts.append(_piece(event))
            size += len(parts[-1])
        return b"".join(parts)

    async def _messages(self, call: _Call, receive: Receive) -> AsyncGenerator[bytes, None]:
        frames, has_more = Frames(self._most, call.encoding), True
        while has_more:
            event = await receive()
            frames.feed(_piece(event))
            has_more = event.get("more_body", False)
            while (message := frames.next_message()) is not None:
                yield message
        frames.check_ended()


class _Left(Exception):
    """The client has left: nobody is there to be answered."""


class _Call:
    """A call that an ASGI server brought; its own metadata, text values only.

    Invariant: `has_begun` says whether the head of the answer was sent.
    """

    __slots__ = ("_clock", "_pairs", "_send", "_values", "deadline_at", "has_begun", "trailing")

    def __init__(
        self, pairs: list[tuple[bytes, bytes]], clock: Callable[[], float], send: Send
    ) -> None:
        self._pairs = pairs
        self._values = dict(pairs)
        self._clock = clock
        self._send = send
        self.trailing: Trailing = ()
        self.has_begun = False
        asked = self._values.get(b"grpc-timeout")
        timeout_s = None if asked is None else timeout_s_of(asked)
        self.deadline_at = None if timeout_s is None else clock() + timeout_s

    @property
    def metadata(self) -> _Call:
        return self

    @property
    def encoding(self) -> bytes:
        return self._values.get(b"grpc-encoding", b"")

    def get(self, name: str, /) -> str | None:
        value = self._values.get(name.encode())
        return None if value is None or name.endswith("-bin") else value.decode("latin-1")

    def trace(self, request_id: str, /) -> Trace | None:
        values = self._values
        if _TRACEPARENT not in values and values.get(_REQUEST_ID) != request_id.encode():
            return None
        told: dict[bytes, list[str]] = {_TRACEPARENT: [], _TRACESTATE: []}
        for key, value in self._pairs:  # where a name may stand several times
            if key in told:
                told[key].append(value.decode("latin-1"))
        return read_trace(request_id, told[_TRACEPARENT], told[_TRACESTATE])

    def time_remaining(self) -> float | None:
        at = self.deadline_at
        return None if at is None else max(0.0, at - self._clock())

    async def write(self, message: bytes, /) -> None:
        body = {"type": "http.response.body", "body": framed(message), "more_body": True}
        try:
            await self._begin()
            await self._send(body)
        except OSError as error:  # as ASGI has it
            raise _Left from error

    async def finish(self) -> None:
        """End a stream that went well."""
        await self._begin()
        await self._end(_OK + _pairs(self.trailing))

    async def refuse(self, refusal: Refusal) -> None:
        """End the call otherwise; in its head, if that was not sent yet."""
        status = [
            (b"grpc-status", _CODES[refusal.code]),
            (b"grpc-message", percent_encoded(refusal.text)),
            *_pairs(self.trailing),
            *_pairs(refusal.trailing),
        ]
        if self.has_begun:
            await self._end(status)
            return
        names = {name for name, _ in status}
        head = [*(pair for pair in _HEADERS if pair[0] not in names), *status]
        await self._send({"type": "http.response.start", "status": 200, "headers": head})
        await self._send({"type": "http.response.body", "body": b""})

    async def _begin(self) -> None:
        if not self.has_begun:
            self.has_begun = True
            await self._send(dict(_START))

    async def _end(self, trailers: list[tuple[bytes, bytes]]) -> None:
        await self._send({"type": "http.response.body", "body": b""})
        await self._send({"type": "http.response.trailers", "headers": trailers})


def _piece(event: Message) -> bytes:
    if event["type"] == "http.disconnect":
        raise _Left
    piece: bytes = event.get("body", b"")
    return piece


def _pairs(trailing: Trailing) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode("latin-1", "replace")) for name, value in trailing]


def _first_of(error: Exception) -> Exception:
    """What a stream failed of, which reads in a task group."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


def _internal(error: Exception) -> Refusal:
    _log.error("a call failed inside the gateway", exc_info=error)
    return Refusal("INTERNAL", f"internal error: {type(error).__name__}")


async def _not_allowed(send: Send) -> None:
    headers = [(b"allow", b"POST"), (b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 405, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
