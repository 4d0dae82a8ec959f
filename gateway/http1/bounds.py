"""How much patience has a connection, and how are those refused who use it up?

A request that does not arrive, an answer that nobody reads and a pause without an end each hold a socket;
a queue of requests holds memory. All are bounded here. What is refused is answered in the application's
place, but never in the place of an answer that another request still waits for.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable, Sized
from dataclasses import dataclass
from typing import Any

import orjson
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from gateway.http1.cycle import Cycle

__all__ = ["MAX_QUEUED", "REASONS", "BoundedConnection", "Flow", "Manners"]

MAX_QUEUED = 16
"""Requests that wait on one connection for the answers before theirs; then no more is read."""

REASONS = {400: "invalid_request", 408: "deadline", 431: "body_too_large"}


@dataclass(frozen=True, slots=True)
class Manners:
    """How a listener treats its clients.

    Attributes:
        read_timeout_s: How long a request may take to arrive, in seconds.
        on_refusal: Told the reason of every refusal of what no application has seen.
    """

    read_timeout_s: float = 30.0
    on_refusal: Callable[[str], None] = lambda _: None


class Flow(FlowControl):
    """Reads on only while few requests wait.

    Invariant: `_departure` is set only while reading is paused.

    Attributes:
        queue: Those that wait.
        drained: How often the client has made room for more of an answer.
    """

    def __init__(self, transport: asyncio.Transport, queue: Sized) -> None:
        super().__init__(transport)
        self.queue = queue
        self.drained = 0
        self._departure: select.epoll | None = None

    def pause_behind(self) -> None:
        """Read no more of what waits for the answers before it; if its client leaves, hang up all the same."""
        self.pause_reading()
        if self._departure is not None:
            return
        try:
            self._departure = departure = select.epoll()
        except OSError:  # there are no more files: then it is noticed when it is read
            return
        # Not its input, of which there is some; what is left is the end of it, and errors.
        departure.register(self._transport.get_extra_info("socket").fileno(), select.EPOLLRDHUP)
        asyncio.get_running_loop().add_reader(departure.fileno(), self._hang_up)

    def resume_reading(self) -> None:
        """Read on, if there is room for what comes."""
        if self.read_paused and len(self.queue) < MAX_QUEUED:
            self.stop_watching()
            super().resume_reading()

    def stop_watching(self) -> None:
        """Nobody needs to know any more whether the client leaves."""
        if self._departure is not None:
            asyncio.get_running_loop().remove_reader(self._departure.fileno())
            self._departure.close()
            self._departure = None

    def _hang_up(self) -> None:
        self.stop_watching()
        self._transport.close()  # as at the end of input that is read

    def resume_writing(self) -> None:
        """Let those go on who wait for room."""
        self.drained += 1
        super().resume_writing()


class _Deaf:
    """In place of a parser: what comes after a refusal is not read."""

    def feed_data(self, data: bytes) -> None:
        """Nothing."""


class BoundedConnection(HttpToolsProtocol):
    """A connection's timers and refusals; the bytes are its heir's.

    Invariant: `_timer` is set only while a request has begun and is not complete. The keep-alive timer
    runs on while requests come and go, and looks at `_idle_since` when it fires.
    """

    manners = Manners()
    flow: Flow
    parser: Any
    _is_in_head = False
    _is_arriving = False
    _timer: asyncio.TimerHandle | None = None
    _idle_since: float | None = None
    _unread: tuple[int, int] | None = None  # bytes of answers, and how often there was room before
    _refusal: bytes | None = None  # of what came after a request that is still to be answered
    _begun: Cycle | None = None  # its head is here, and nobody serves it yet
    _served: Cycle | None = None
    _task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin a connection, which is idle until a request comes."""
        super().connection_made(transport)
        self.flow = Flow(transport, self.pipeline)
        self._idle_since = self.loop.time()
        self._look_again_in(self.timeout_keep_alive)

    def connection_lost(self, exc: Exception | None) -> None:
        """End a connection, and what is being done for its client."""
        self.flow.stop_watching()
        self._stop_timer()
        self._start_begun()
        super().connection_lost(exc)
        if self._served is not None and not self._served.response_complete:
            self._served.abandon(self._task)
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None
        # They know the connection: none of it shall wait for the garbage collector.
        self.cycle = self._served = None  # type: ignore[assignment]  # nobody asks for them any more
        self.pipeline.clear()

    def _start(self, cycle: Cycle) -> None:
        """Let the application serve a request."""
        self._idle_since = None
        self._served = cycle
        self._task = task = self.loop.create_task(cycle.run_asgi(self.app))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def _start_begun(self) -> None:
        """Serve what has begun: it is not going to arrive whole, and the application books it."""
        if self._begun is not None:
            begun, self._begun = self._begun, None
            self._start(begun)

    def on_response_complete(self) -> None:
        """The last byte of its answer: the next request of the connection, or a pause."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        waiting: Any = self.pipeline.pop()[0] if self.pipeline else None
        if self.flow.read_paused:
            self.flow.resume_reading()
        if waiting is not None:
            self._start(waiting)
        elif self._refusal is not None:
            self._end_with(self._refusal)
        else:
            self._idle_since = self.loop.time()

    def _unset_keepalive_if_required(self) -> None:
        """Nothing: the timer finds out by itself whether the connection was idle."""

    def _close_if_idle(self) -> None:
        """Close what has been idle, and cut off who has not read any of his answer since the last look."""
        self.timeout_keep_alive_task = None
        unsent_bytes = self.transport.get_write_buffer_size()
        if unsent_bytes:
            unread = (unsent_bytes, self.flow.drained)
            if unread == self._unread:
                self.transport.abort()
            else:
                self._unread = unread
                self._look_again_in(self.timeout_keep_alive)
            return
        self._unread = None
        since = None if self._is_arriving else self._idle_since
        left_s = self.timeout_keep_alive - (0.0 if since is None else self.loop.time() - since)
        if left_s > 0:
            self._look_again_in(left_s)
        else:
            self.transport.close()

    def _look_again_in(self, delay_s: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(delay_s, self._close_if_idle)

    def _start_timer(self) -> None:
        self._timer = self.loop.call_later(self.manners.read_timeout_s, self._too_slow)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        if self.flow.read_paused:  # it is we who do not read
            self._start_timer()
            return
        text = f"the request has not arrived whole within {self.manners.read_timeout_s:g} s"
        self._refuse(408, text)

    def _refuse(self, status: int, text: str) -> None:
        """Answer what is arriving in the application's place, after all that came before; then hang up."""
        self._stop_timer()
        self._start_begun()
        self._is_arriving = False
        self.parser = _Deaf()
        refusal = _answer(status, text)
        served = self._served
        if not self._is_in_head and not self.pipeline and served is not None:
            self._refuse_served(served, status, refusal)
            return
        if not self._is_in_head and self.pipeline:
            self.pipeline.popleft()  # the newest: it shall not begin
        self.manners.on_refusal(REASONS[status])
        if served is None or served.response_complete:
            self._end_with(refusal)
        else:
            self._refusal = refusal

    def _refuse_served(self, served: Cycle, status: int, refusal: bytes) -> None:
        """Refuse the rest of a body of which an application has begun to read."""
        if served.response_complete:  # without the rest, and that is booked already
            self.manners.on_refusal(REASONS[status])
        if served.response_started:
            self.transport.close()
        else:
            self._end_with(refusal)
            served.abandon(self._task)  # which books it

    def _end_with(self, refusal: bytes) -> None:
        self.transport.write(refusal)
        self.transport.close()


def _answer(status: int, text: str) -> bytes:
    body = orjson.dumps({"error": text})
    return (
        b"%bcontent-type: application/json\r\nconnection: close\r\n"
        b"content-length: %d\r\n\r\n%b" % (STATUS_LINE[status], len(body), body)
    )
