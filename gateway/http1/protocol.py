"""How do bytes on a connection become requests, from clients that may be slow, endless or wrong?

uvicorn's own protocol, with bounds that it lacks and without what every request would pay for in vain: a
timer for each pause between two requests, and a general parser for addresses that are plain paths. Without
the kernel, an echo behind it took 11 µs of CPU a request, behind uvicorn's own 15.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from gateway.http1.bounds import MAX_QUEUED, Manners
from gateway.http1.cycle import ANSWER, Cycle
from gateway.http1.direct import END, DirectConnection

__all__ = ["MAX_HEAD_BYTES", "BoundedProtocol", "Manners"]

MAX_HEAD_BYTES = 64 * 1024
_READ_BYTES = 256 * 1024  # what the loop reads at once, at most
_EXTENSIONS: dict[str, dict[object, object]] = {ANSWER: {}}
_NO_HTTP = "Invalid HTTP request received."
_HEAD_TOO_LARGE = f"the request's head is over {MAX_HEAD_BYTES} bytes"
_REST_TOO_LARGE = f"what surrounds the request's body is over {MAX_HEAD_BYTES} bytes"


class BoundedProtocol(DirectConnection):
    """One connection.

    uvicorn bounds neither a request's head nor the time it takes to arrive. Here a head of more than
    `MAX_HEAD_BYTES` is answered 431, and so is as much between or after the chunks of a body; a request
    that has not arrived whole in time after its first byte is answered 408. Each ends the connection. A
    request that arrives in one piece costs no timer.
    """

    _head_bytes = 0  # of what is arriving and is no body
    _complaint = 400, _NO_HTTP  # what is wrong when the parser stops
    _is_large_read = False  # so that a head in it may be too large
    _late: object = None  # the last request that came in pieces, known by its scope

    def data_received(self, data: bytes) -> None:
        """Take what has arrived, within the bounds."""
        if self._is_again(data):
            return
        self._is_large_read = len(data) > MAX_HEAD_BYTES
        is_amid = self._is_arriving
        rest: bytes | memoryview = data
        try:
            if self._is_large_read and not is_amid:
                rest = self._parse_head(data)
            self.parser.feed_data(rest)
        except httptools.HttpParserError:
            self._refuse(*self._complaint)
        except httptools.HttpParserUpgrade as upgrade:
            self._decline_upgrade(bytes(rest[upgrade.args[0] :]))
        if self._is_arriving:
            self._bound_arrival(data)
        begun = self._begun
        if begun is None:
            return
        if begun.more_body and (self._awaits_little(begun) or self._takes_in(begun, begun.body)):
            return
        self._begun = None
        self._begin(begun, data, is_amid=is_amid)

    def _parse_head(self, data: bytes) -> bytes | memoryview:
        """Parse what may be no more than the head, and give back what is still to be parsed."""
        end = data.find(END) + len(END)
        if end < len(END):
            return data
        self.parser.feed_data(data[:end])
        rest = memoryview(data)[end:]
        return b"" if self._begun is not None and self._takes_in(self._begun, rest) else rest

    def _decline_upgrade(self, rest: bytes) -> None:
        """Read the request again without its wish to upgrade: the parser would skip its body."""
        if self.parser.get_method() == b"CONNECT":
            self._refuse(400, _NO_HTTP)
            return
        version = self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)]
        lines += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
        self._parse_anew()
        try:
            self.parser.feed_data(b"\r\n".join([*lines, b"", rest]))
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._refuse(400, _NO_HTTP)  # also who wishes it twice without waiting for an answer

    def _bound_arrival(self, data: bytes) -> None:
        # Requests sent without waiting for answers share a piece: where this one begins in it, the
        # parser does not tell. Then only the pieces after it count; one read has at most 256 KiB.
        if self._late is self.scope or (self._late is None and b"\r\n\r\n" not in data):
            self._head_bytes += len(data)
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(431, _HEAD_TOO_LARGE if self._is_in_head else _REST_TOO_LARGE)
            return
        self._late = self.scope
        if self._timer is None:
            self._start_timer()

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
        if self.parser.should_upgrade():
            return  # it is read again
        if self._is_large_read:
            self._check_head()
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
        self._is_in_head = False  # not before: a bad address is refused as what has not begun
        self.headers = []  # trailers are no headers: they are gathered here, and dropped
        if before is None or before.response_complete:
            self._served = self._begun = cycle
            self._task = None
        else:
            self.pipeline.appendleft((cycle, self.app))
            if len(self.pipeline) >= MAX_QUEUED:  # read on until then, to notice departures
                self.flow.pause_reading()

    def _check_head(self) -> None:
        """Refuse a head that arrived in one large read, and is too large itself."""
        size = len(self.url) + sum([len(name) + len(value) + 4 for name, value in self.headers])
        if size > MAX_HEAD_BYTES:
            self._complaint = 431, _HEAD_TOO_LARGE
            raise ValueError(_HEAD_TOO_LARGE)  # it stops the parser

    def on_body(self, body: bytes) -> None:
        """A piece of its body."""
        self._head_bytes = -_READ_BYTES  # it shares the read with some of the body
        cycle: Any = self.cycle
        if cycle.response_complete:
            return
        cycle.add_body(body)
        if len(cycle.body) > HIGH_WATER_LIMIT:
            if self.pipeline:  # it is the newest there: nobody reads it before its turn
                self.flow.pause_behind()
            else:
                self.flow.pause_reading()

    def on_message_complete(self) -> None:
        """The last byte of its body."""
        self._is_arriving = False
        if self._timer is not None:
            self._stop_timer()
        cycle: Any = self.cycle
        if not self._is_in_head and not cycle.response_complete:  # in its head: it is read again
            cycle.more_body = False
            if cycle.message_event.event is not None:
                cycle.message_event.set()


def _parts_of(url: bytes) -> tuple[bytes, bytes]:
    """Path and query of what is no plain path: a proxy's form, `http://host/path`, say."""
    parsed = httptools.parse_url(url)
    return parsed.path or b"/", parsed.query or b""
