"""Which requests came over this connection, and where does an answer go? HTTP/2 (RFC 9113) for a server.

Without I/O: bytes go into `receive`, and come out by way of `write`. It is HTTP/2 as gRPC uses it: a request
ends before its answer begins, an answer is headers, one body and trailers, and nobody pushes or prioritizes.

What a peer may cost: its requests at once, the bytes of each and of its headers, and what we owe it while it
does not read. Whoever goes beyond loses that request, or the connection.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from serving.torch_server import http2_frames as h2
from serving.torch_server.hpack import MAX_LIST_BYTES, BrokenHeaders, HeaderReader, Headers
from serving.torch_server.http2_answers import Answers, Stream, Write
from serving.torch_server.http2_frames import BrokenPeer, frame, unpadded

__all__ = ["Http2", "Stream", "Streams"]

_MAX_STREAMS = 4096
_MAX_REPLIES = 1024  # to pings and settings, while the peer does not read
_GRANT_BYTES = 1 << 30  # what was taken is granted again in such portions


class Streams(Protocol):
    """Who answers."""

    def on_headers(self, stream: Stream) -> None:
        """A request began."""
        ...

    def on_request(self, stream: Stream) -> None:
        """It is whole, or too large: answer it."""
        ...

    def on_gone(self, stream: Stream) -> None:
        """The peer does not want the answer any more."""
        ...


class Http2:
    """One connection.

    Attributes:
        is_open: Whether the peer has said that it speaks HTTP/2.
        streams: The requests whose answer is not sent to its end.
        coming: Those that are not whole themselves.
        is_leaving: Whether we have said that we take no new ones.
    """

    def __init__(self, above: Streams, write: Write, *, max_body_bytes: int) -> None:
        self.is_open = False
        self.is_leaving = False
        self.streams: dict[int, Stream] = {}
        self.coming: dict[int, Stream] = {}
        self._above = above
        self._write = write
        self._max_body_bytes = max_body_bytes
        self._answers = Answers(write, self._finish)
        self._headers = HeaderReader()
        self._rest = b""  # a frame that has not come to its end
        self._block: tuple[int, int, bytes] | None = None  # headers that have not: stream, flags
        self._last_id = 0
        self._is_announced = False
        self._taken_bytes = 0
        self._replies = 0
        self._readers: dict[int, Callable[[int, int, bytes], None]] = {
            h2.DATA: self._on_data,
            h2.HEADERS: self._on_headers,
            h2.RST_STREAM: self._on_reset,
            h2.SETTINGS: self._on_settings,
            h2.PUSH_PROMISE: self._on_push,
            h2.PING: self._on_ping,
            h2.WINDOW_UPDATE: self._on_window,
            h2.CONTINUATION: self._on_continuation,
        }

    def greet(self) -> None:
        """Say what we take: the first thing on a connection."""
        # Nobody has to ask before sending: what is too large is refused as soon as that is seen.
        window = min(self._max_body_bytes + h2.MAX_FRAME_BYTES, h2.MAX_WINDOW_BYTES)
        limits = {
            h2.MAX_CONCURRENT_STREAMS: _MAX_STREAMS,
            h2.INITIAL_WINDOW_SIZE: window,
            h2.MAX_HEADER_LIST_SIZE: MAX_LIST_BYTES,
        }
        self._write(h2.settings(limits))
        self._grant(h2.MAX_WINDOW_BYTES - self._answers.first_window)

    def receive(self, data: bytes) -> None:
        """Take bytes that came.

        Raises:
            BrokenPeer: the connection cannot go on; `end` it.
        """
        if self._rest:
            data = self._rest + data
        at, end = 0, len(data)
        if not self.is_open:
            at = self._open(data)
        while self.is_open and end - at >= h2.HEAD.size:
            high, low, kind, flags, number = h2.HEAD.unpack_from(data, at)
            size = high << 8 | low
            if size > h2.MAX_FRAME_BYTES:
                raise BrokenPeer(h2.FRAME_SIZE_ERROR, f"got a frame of {size} bytes")
            start = at + h2.HEAD.size
            if start + size > end:
                break
            at = start + size
            if self._block is not None and kind != h2.CONTINUATION:
                raise BrokenPeer(h2.PROTOCOL_ERROR, "got another frame among headers")
            if (read := self._readers.get(kind)) is not None:  # PRIORITY and extensions are advice
                read(flags, number & h2.MAX_WINDOW_BYTES, data[start:at])
        self._rest = data[at:]

    def answer(self, stream: Stream, headers: bytes, body: bytes, trailers: bytes) -> None:
        """Answer a request; nothing if it is gone. Blocks as `hpack` writes them."""
        if stream.id in self.streams:
            self._answers.send(stream, headers, body, trailers)

    def refuse(self, stream: Stream, headers: bytes) -> None:
        """Answer a request with nothing but headers; nothing if it is gone."""
        if stream.id in self.streams:
            self._write(frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, stream.id, headers))
            self._finish(stream)

    def pause(self) -> None:
        """The peer does not read, for now."""
        self._answers.is_paused = True

    def resume(self) -> None:
        """It reads again."""
        self._answers.is_paused = False
        self._replies = 0
        self._answers.send_waiting()

    def announce_end(self) -> None:
        """Ask the peer to send nothing new. What is on its way is taken until it answers our ping."""
        self._is_announced = True
        self._write(frame(h2.GOAWAY, 0, 0, _goaway(h2.MAX_WINDOW_BYTES, h2.NO_ERROR, "")))
        self._write(frame(h2.PING, 0, 0, bytes(8)))

    def end(self, code: int = h2.NO_ERROR, why: str = "") -> None:
        """Take no new request from now on, and tell the peer which was the last."""
        self.is_leaving = True
        self._write(frame(h2.GOAWAY, 0, 0, _goaway(self._last_id, code, why)))

    def _open(self, data: bytes) -> int:
        size = len(h2.PREFACE)
        if data[:size] != h2.PREFACE[: len(data)]:
            raise BrokenPeer(h2.PROTOCOL_ERROR, "got something else than HTTP/2")
        self.is_open = len(data) >= size
        return size if self.is_open else 0

    def _on_headers(self, flags: int, number: int, data: bytes) -> None:
        data = unpadded(flags, data)
        self._take_block(flags, number, data[5:] if flags & h2.WITH_PRIORITY else data)

    def _on_continuation(self, flags: int, number: int, data: bytes) -> None:
        if self._block is None or self._block[0] != number:
            raise BrokenPeer(h2.PROTOCOL_ERROR, "got the end of no headers")
        _, first_flags, begun = self._block
        if len(begun) + len(data) > MAX_LIST_BYTES:
            raise BrokenPeer(h2.ENHANCE_YOUR_CALM, f"got headers of over {MAX_LIST_BYTES} bytes")
        self._take_block(flags | first_flags, number, begun + data)

    def _take_block(self, flags: int, number: int, block: bytes) -> None:
        if not flags & h2.END_HEADERS:
            self._block = number, flags, block
            return
        self._block = None
        try:
            # Read even if nobody wants it: the next block may name what this one tells.
            headers = self._headers.read(block)
        except BrokenHeaders as exc:
            raise BrokenPeer(h2.COMPRESSION_ERROR, str(exc)) from exc
        if number > self._last_id:
            self._begin(number, headers)
        elif not flags & h2.END_STREAM:
            raise BrokenPeer(h2.PROTOCOL_ERROR, "got headers in the middle of a request")
        if flags & h2.END_STREAM:
            self._end_request(number)

    def _begin(self, number: int, headers: Headers) -> None:
        if not number & 1:
            raise BrokenPeer(h2.PROTOCOL_ERROR, f"got a request numbered {number}")
        if self.is_leaving:
            return  # it is told that, and asks somebody else
        self._last_id = number
        if len(self.streams) >= _MAX_STREAMS:
            self._reset(number, h2.REFUSED_STREAM)
            return
        stream = Stream(number, headers, self._answers.first_window)
        self.streams[number] = self.coming[number] = stream
        self._above.on_headers(stream)

    def _on_data(self, flags: int, number: int, data: bytes) -> None:
        self._check_begun(number)
        self._taken_bytes += len(data)
        if self._taken_bytes >= _GRANT_BYTES:
            self._grant(self._taken_bytes)
            self._taken_bytes = 0
        stream = self.coming.get(number)
        if stream is None:
            if number in self.streams:
                raise BrokenPeer(h2.STREAM_CLOSED, "got data behind the end of a request")
            return  # it was refused or reset
        if data := unpadded(flags, data):
            self._take_data(stream, data)
        if flags & h2.END_STREAM:
            self._end_request(number)

    def _take_data(self, stream: Stream, data: bytes) -> None:
        stream.size += len(data)
        if stream.size <= self._max_body_bytes:
            stream.data.append(data)
        elif not stream.is_too_large:
            stream.is_too_large = True
            stream.data.clear()
            self._above.on_request(stream)

    def _end_request(self, number: int) -> None:
        stream = self.coming.pop(number, None)
        if stream is not None and not stream.is_too_large:
            self._above.on_request(stream)

    def _on_reset(self, flags: int, number: int, data: bytes) -> None:  # noqa: ARG002  # all take the same
        if len(data) != 4:  # noqa: PLR2004  # an error code
            raise BrokenPeer(h2.FRAME_SIZE_ERROR, "got a reset without a reason")
        self._check_begun(number)
        stream = self.streams.pop(number, None)
        if stream is not None:
            self.coming.pop(number, None)
            self._answers.forget(stream)
            self._above.on_gone(stream)

    def _on_settings(self, flags: int, number: int, data: bytes) -> None:
        if number:
            raise BrokenPeer(h2.PROTOCOL_ERROR, "got settings of one request")
        if not flags & h2.ACK:
            self._answers.change(data, self.streams.values())
            self._reply(frame(h2.SETTINGS, h2.ACK, 0, b""))

    def _on_push(self, flags: int, number: int, data: bytes) -> None:  # noqa: ARG002  # as above
        raise BrokenPeer(h2.PROTOCOL_ERROR, "got a push from a client")

    def _on_ping(self, flags: int, number: int, data: bytes) -> None:
        if number or len(data) != 8:  # noqa: PLR2004  # what the protocol says
            raise BrokenPeer(h2.PROTOCOL_ERROR, "got a ping that is none")
        if not flags & h2.ACK:
            self._reply(frame(h2.PING, h2.ACK, 0, data))
        elif self._is_announced and not self.is_leaving:
            self.end()

    def _on_window(self, flags: int, number: int, data: bytes) -> None:  # noqa: ARG002  # as above
        stream = self.streams.get(number)
        if stream is not None or number == 0:
            self._answers.widen(stream, data)

    def _check_begun(self, number: int) -> None:
        if number == 0 or (number > self._last_id and not self.is_leaving):
            raise BrokenPeer(
                h2.PROTOCOL_ERROR, f"got a frame of request {number}, which did not begin"
            )

    def _finish(self, stream: Stream) -> None:
        del self.streams[stream.id]
        if self.coming.pop(stream.id, None) is not None:
            self._reset(stream.id, h2.NO_ERROR)  # the rest of it is not wanted

    def _reset(self, number: int, code: int) -> None:
        self._write(frame(h2.RST_STREAM, 0, number, code.to_bytes(4)))

    def _grant(self, size: int) -> None:
        self._write(frame(h2.WINDOW_UPDATE, 0, 0, size.to_bytes(4)))

    def _reply(self, reply: bytes) -> None:
        self._replies += self._answers.is_paused
        if self._replies > _MAX_REPLIES:
            raise BrokenPeer(h2.ENHANCE_YOUR_CALM, "got pings, and nobody who reads the answers")
        self._write(reply)


def _goaway(last: int, code: int, why: str) -> bytes:
    return last.to_bytes(4) + code.to_bytes(4) + why.encode()
