"""How does one HTTP/1.1 request meet the ASGI application, and its answer leave in one write?

uvicorn writes an answer's head and its body apart, and uvloop sends each at once: two system calls and two
packets for every answer. It also checks every header with two regular expressions, and makes an event for
every request although a small one has arrived whole before anybody waits. Here an answer that is whole is
written at once, and an event is made only for those who wait. Everything else is left to uvicorn's cycle.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import Any, cast

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

__all__ = ["ANSWER", "APART_BYTES", "CLIENT_LEFT", "Cycle", "LazyEvent"]

CLIENT_LEFT = "the client has left"
"""What the task of a request is cancelled with when that is why."""

ANSWER = "tandem.answer"
"""An extension of ASGI: a whole answer in one message. `status` (with a body), `body`, `content_type` and
`request_id`, the last two without line breaks. A server that takes it names it in `scope["extensions"]`."""

APART_BYTES = 64 * 1024
"""A body of so many is not copied behind its head: both are given to the transport, for one system call."""

_NAME = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"  # in lower case
_CONTROLS = bytes([*range(9), *range(10, 32), 127])
_BODILESS = frozenset((204, 304))


def _nothing() -> None:
    """What a response that is complete has left to tell."""


class _Done:
    """What is awaited in vain: it has been done already, without a coroutine."""

    __slots__ = ()

    def __await__(self) -> Generator[None, None, None]:
        return _NOTHING


_NOTHING = cast("Generator[None, None, None]", iter(()))
_DONE = _Done()


class LazyEvent:
    """As much of `asyncio.Event` as a request needs; it costs nothing until somebody waits."""

    __slots__ = ("event",)

    def __init__(self) -> None:
        self.event: asyncio.Event | None = None

    def set(self) -> None:
        """Wake those who wait."""
        if self.event is not None:
            self.event.set()

    async def next(self) -> None:
        """Wait for the next `set`."""
        if self.event is None:
            self.event = asyncio.Event()
        self.event.clear()
        await self.event.wait()


class Cycle(RequestResponseCycle):
    """One request and its answer.

    Invariant: `_start` is the head of an answer that has begun and of which nothing is written yet.
    """

    _start: Any = None
    _was_told_whole = False
    # What uvicorn's cycle sets for every request, and few change.
    access_log = False
    disconnected = False
    more_body = True
    response_started = False
    response_complete = False
    chunked_encoding = None
    expected_content_length = 0
    body: Any = b""

    def __init__(
        self,
        *,
        scope: Any,
        transport: asyncio.Transport,
        flow: FlowControl,
        logger: logging.Logger,
        default_headers: list[tuple[bytes, bytes]],
        expect_100_continue: bool,
        keep_alive: bool,
        on_response: Callable[[], None],
    ) -> None:
        """Not uvicorn's: half of its attributes stand in the class."""
        self.scope = scope
        self.transport = transport
        self.flow = flow
        self.logger = logger
        self.default_headers = default_headers
        self.message_event: Any = LazyEvent()
        self.waiting_for_100_continue = expect_100_continue
        self.keep_alive = keep_alive
        self.on_response = on_response

    def add_body(self, body: bytes) -> None:
        """A piece of the body has arrived: kept as it is, or joined to what nobody took yet."""
        if not self.body:
            self.body = body
        elif isinstance(self.body, bytearray):
            self.body += body
        else:
            self.body = bytearray(self.body + body)
        if self.message_event.event is not None:
            self.message_event.set()

    async def run_asgi(self, app: Any) -> None:
        """Let the application answer; an answer that it does not give is 500."""
        try:
            await app(self.scope, self.receive, self.send)
        except BaseException as error:
            if self.disconnected and isinstance(error, asyncio.CancelledError):
                return  # by `abandon`: nobody is left to be answered
            self.logger.exception("the application failed", exc_info=error)
        finally:
            self.on_response = _nothing if self.response_complete else self.on_response
        if self.response_complete or self.disconnected:
            return
        if self.response_started:
            self.transport.close()
        else:
            self._start = None
            await self.send_500_response()

    def abandon(self, task: asyncio.Task[None] | None) -> None:
        """The client has gone or was refused: tell the application, which runs as `task`.

        While it reads, it is told where it reads; later, nothing that it does is wanted any more.
        """
        self.disconnected = True
        if self._was_told_whole and task is not None:
            task.cancel(CLIENT_LEFT)
        else:
            self.message_event.set()

    async def receive(self) -> Any:
        """The next piece of the body, or the client's departure (ASGI's `receive`)."""
        if self.waiting_for_100_continue and not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.waiting_for_100_continue = False
        while not (self.disconnected or self.response_complete):
            if self.body or not (self.more_body or self._was_told_whole):
                body, self.body = bytes(self.body), b""
                self._was_told_whole = not self.more_body
                if self.flow.read_paused:  # there is room again; and departures are read, too
                    self.flow.resume_reading()
                return {"type": "http.request", "body": body, "more_body": self.more_body}
            self.flow.resume_reading()
            await self.message_event.next()
        return {"type": "http.disconnect"}

    def send(self, message: Any) -> Awaitable[None]:  # type: ignore[override]  # a coroutine is one
        """Send the head or a piece of the body (ASGI's `send`); the head waits for the first piece."""
        start = self._start
        if start is None:
            kind = message["type"]
            if kind == ANSWER:
                return self._answer(message)
            if kind != "http.response.start" or self.response_started:
                return super().send(message)
            self._start = message
            return _DONE
        if message["type"] != "http.response.body":
            raise RuntimeError(f"wanted 'http.response.body', got {message['type']!r}")
        self._start = None
        if not (self.flow.write_paused or self.disconnected or message.get("more_body")):
            head = self._head(start, message)
            if head is not None:
                self._finish(head, message.get("body", b""))
                return _DONE
        return self._send_both(start, message)

    def _answer(self, message: Any) -> Awaitable[None]:
        body: bytes = message["body"]
        fields = (
            (b"content-type", message["content_type"]),
            (b"content-length", b"%d" % len(body)),
            (b"x-request-id", message["request_id"]),
        )
        ordinary = self.keep_alive and self.scope["method"] != "HEAD"
        if not ordinary or self.flow.write_paused or self.disconnected or self.response_started:
            start = {"type": "http.response.start", "status": message["status"], "headers": fields}
            return self._send_both(start, {"type": "http.response.body", "body": body})
        date = b"".join([b"%b: %b\r\n" % header for header in self.default_headers])
        self._finish(
            b"%b%bcontent-type: %b\r\ncontent-length: %d\r\nx-request-id: %b\r\n\r\n"
            % (STATUS_LINE[message["status"]], date, fields[0][1], len(body), fields[2][1]),
            body,
        )
        return _DONE

    async def _send_both(self, start: Any, message: Any) -> None:
        await super().send(start)
        await super().send(message)

    def _head(self, start: Any, message: Any) -> bytes | None:
        """The head of a whole answer; None where there is more to it than writing both down."""
        body: bytes = message.get("body", b"")
        status: int = start["status"]
        if self.scope["method"] == "HEAD" or status in _BODILESS or not self.keep_alive:
            return None
        given: Sequence[tuple[bytes, bytes]] = start.get("headers", ())
        if not isinstance(given, (list, tuple)):
            return None  # to be read but once
        headers = [*self.default_headers, *given]
        fields = dict(headers)
        head = b"\r\n".join([b": ".join(header) for header in headers])
        if (
            fields.get(b"content-length") != b"%d" % len(body)
            or b"connection" in fields
            or b"transfer-encoding" in fields
            or len(fields) != len(headers)  # one of those might be there twice
            or b"".join(fields).translate(None, _NAME)  # or be hidden by capitals
            # A control character could end the head; uvicorn's cycle raises on it.
            or len(head.translate(None, _CONTROLS)) != len(head) - 2 * (len(headers) - 1)
        ):
            return None
        return b"%b%b\r\n\r\n" % (STATUS_LINE[status], head)

    def _finish(self, head: bytes, body: bytes) -> None:
        self.response_started = self.response_complete = True
        self.waiting_for_100_continue = False
        if len(body) < APART_BYTES:
            self.transport.write(head + body)
        else:
            self.transport.writelines((head, body))
        if self.message_event.event is not None:
            self.message_event.set()
        self.on_response()
