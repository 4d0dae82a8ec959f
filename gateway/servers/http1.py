"""How do bytes on a connection become requests, from clients that may be slow, endless or wrong?

uvicorn's own protocol, with bounds that it lacks and without what every request would pay for in vain: a
timer for each pause between two requests, and a general parser for addresses that are plain paths. On one
busy core, an echo behind it costs 25 µs of CPU a request, behind uvicorn's 35.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import httptools
import orjson
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from gateway.servers.http1_cycle import ANSWER, Cycle

__all__ = ["MAX_HEADERS", "MAX_HEAD_BYTES", "BoundedProtocol", "Manners"]

MAX_HEAD_BYTES = 64 * 1024
MAX_HEADERS = MAX_HEAD_BYTES // len(b"a:\r\n")  # no head within its bound has more
REASONS = {400: "invalid_request", 408: "deadline", 431: "body_too_large"}
_EXTENSIONS: dict[str, dict[object, object]] = {ANSWER: {}}
_HEAD_TOO_LARGE = f"the request's head is over {MAX_HEAD_BYTES} bytes"


@dataclass(frozen=True, slots=True)
class Manners:
    """How a listener treats its clients.

    Attributes:
        read_timeout_s: How long a request may take to arrive, in seconds.
        on_refusal: Told the reason of every refusal of what no application has seen.
    """

    read_timeout_s: float = 30.0
    on_refusal: Callable[[str], None] = lambda _: None


class BoundedProtocol(HttpToolsProtocol):
    """One connection.

    uvicorn bounds neither a request's head nor the time it takes to arrive. Here a head of more than
    `MAX_HEAD_BYTES` is answered 431, and a request that has not arrived whole in time after its first byte 408; both end the connection. A request that arrives in one piece costs no timer.

    Invariant: `_timer` is set only while a request has begun and is not complete. The keep-alive timer
    runs on while requests come and go, and looks at `_idle_since` when it fires.
    """

    manners = Manners()
    _head_bytes = 0
    _is_in_head = False
    _is_arriving = False
    _timer: asyncio.TimerHandle | None = None
    _idle_since: float | None = None
    _served: Cycle | None = None
    _task: asyncio.Task[None] | None = None
    _late: object = None  # the last request that came in pieces, known by its scope

    def connection_lost(self, exc: Exception | None) -> None:
        """End a connection, and what is being done for its client."""
        self._stop_timer()
        super().connection_lost(exc)
        cycle = self._served
        if cycle is not None and not cycle.response_complete and self._task is not None:
            cycle.abandon(self._task)
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None

    def data_received(self, data: bytes) -> None:
        """Take what has arrived, within the bounds."""
        self._idle_since = None
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self._refuse(400, "Invalid HTTP request received.")
        except httptools.HttpParserUpgrade:
            pass  # to what is not offered: the request is answered as any other
        if self._is_arriving:
            self._bound_arrival(data)

    def _bound_arrival(self, data: bytes) -> None:
        if self._is_in_head:
            # Requests sent without waiting for answers share a piece: where this head begins in it, the
            # parser does not tell. Then only the pieces after it count; one read has at most 256 KiB.
            if self._late is self.scope or (self._late is None and b"\r\n\r\n" not in data):
                self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(431, _HEAD_TOO_LARGE)
                return
        elif len(self.headers) > MAX_HEADERS:  # what follows a body in chunks is kept among them
            self._refuse(431, f"the request has over {MAX_HEADERS} headers")
            return
        self._late = self.scope
        if self._timer is None:
            self._timer = self.loop.call_later(self.manners.read_timeout_s, self._too_slow)

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._is_arriving = self._is_in_head = True
        self._head_bytes = 0
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
        self.scope = {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": "1.1",
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme or "http",
            "root_path": "",
            "headers": self.headers,
            "extensions": _EXTENSIONS,
        }  # type: ignore[typeddict-item]  # the rest follows with the end of the head

    def on_headers_complete(self) -> None:
        """The end of its head: the application begins, or waits for the answer before this one."""
        self._is_in_head = False
        version = self.parser.get_http_version()
        scope = self.scope
        scope["method"] = self.parser.get_method().decode("ascii")
        scope["http_version"] = version
        url = self.url
        if url.startswith(b"/") and b"#" not in url:
            raw_path, _, query = url.partition(b"?")
        else:
            raw_path, query = _parts_of(url)
        path = raw_path.decode("ascii")
        scope["path"] = unquote(path) if "%" in path else path
        scope["raw_path"] = raw_path
        scope["query_string"] = query
        before: RequestResponseCycle | None = self.cycle
        self.cycle = cycle = Cycle(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            default_headers=self.server_state.default_headers,
            expect_100_continue=self.expect_100_continue,
            keep_alive=version != "1.0" and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        if before is None or before.response_complete:
            self._serve(cycle)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))

    def _serve(self, cycle: Cycle) -> None:
        self._served = cycle
        self._task = task = self.loop.create_task(cycle.run_asgi(self.app))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def on_body(self, body: bytes) -> None:
        """A piece of its body."""
        cycle: Any = self.cycle
        if cycle.response_complete:
            return
        cycle.add_body(body)
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()

    def on_message_complete(self) -> None:
        """The last byte of its body."""
        self._is_arriving = False
        if self._timer is not None:
            self._stop_timer()
        cycle: Any = self.cycle
        if not cycle.response_complete:
            cycle.more_body = False
            if cycle.message_event.event is not None:
                cycle.message_event.set()

    def on_response_complete(self) -> None:
        """The last byte of its answer: the next request of the connection, or a pause."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.flow.read_paused:
            self.flow.resume_reading()
        if self.pipeline:
            cycle: Any = self.pipeline.pop()[0]
            self._serve(cycle)
            return
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._look_again_in(self.timeout_keep_alive)

    def _unset_keepalive_if_required(self) -> None:
        """Nothing: the timer finds out by itself whether the connection was idle."""

    def _close_if_idle(self) -> None:
        idle_s = 0.0 if self._idle_since is None else self.loop.time() - self._idle_since
        if self._idle_since is not None and idle_s >= self.timeout_keep_alive:
            self.timeout_keep_alive_task = None
            self.transport.close()
        else:
            self._look_again_in(self.timeout_keep_alive - idle_s)

    def _look_again_in(self, delay_s: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(delay_s, self._close_if_idle)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        text = f"the request has not arrived whole within {self.manners.read_timeout_s:g} s"
        self._refuse(408, text)

    def _refuse(self, status: int, text: str) -> None:
        self._stop_timer()
        cycle: RequestResponseCycle | None = self.cycle
        if self._is_in_head or cycle is None or cycle.response_complete:
            self.manners.on_refusal(REASONS[status])  # else the application has begun, and books it
        # In a head, `cycle` is the request before on this connection, if there was one.
        is_free = cycle is None or (
            cycle.response_complete if self._is_in_head else not cycle.response_started
        )
        self._is_arriving = False
        if is_free:
            body = orjson.dumps({"error": text})
            self.transport.write(
                b"%bcontent-type: application/json\r\nconnection: close\r\n"
                b"content-length: %d\r\n\r\n%b" % (STATUS_LINE[status], len(body), body)
            )
        self.transport.close()


def _parts_of(url: bytes) -> tuple[bytes, bytes]:
    """Path and query of what is no plain path: a proxy's form, `http://host/path`, say."""
    parsed = httptools.parse_url(url)
    return parsed.path, parsed.query or b""
