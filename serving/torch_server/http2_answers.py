"""How does an answer go out, as fast as its peer takes it? HTTP/2's flow control (RFC 9113 §5.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from serving.torch_server import http2_frames as h2
from serving.torch_server.hpack import Headers
from serving.torch_server.http2_frames import HEAD, BrokenPeer

__all__ = ["Answers", "Stream", "Write"]

Write: TypeAlias = Callable[[bytes | memoryview], None]

_FIRST_WINDOW_BYTES = (1 << 16) - 1
_WRITTEN_FRAMES = 16  # at once; after each write we may learn that the peer is slow


@dataclass(slots=True, eq=False)
class Stream:
    """One request and its answer.

    Attributes:
        data: The body, in pieces; empty when it is too large.
        size: Bytes of the body so far.
        window: Bytes of the answer that the peer takes now.
        left: What is left to send of the answer's body, and behind it the frame `closing`.
        due: For the layer above, when it gives up.
    """

    id: int
    headers: Headers
    window: int
    data: list[bytes] = field(default_factory=list)
    size: int = 0
    is_too_large: bool = False
    left: memoryview | bytes = b""
    closing: bytes = b""
    due: float = 0.0


class Answers:
    """The answers of one connection.

    Invariants: `_waiting` are those that have begun and wait for room. `_window`, and each stream's, are the
    bytes that the peer still takes; a change of its settings may make a stream's negative.
    """

    def __init__(self, write: Write, on_sent: Callable[[Stream], None]) -> None:
        self.is_paused = False
        self.first_window = _FIRST_WINDOW_BYTES  # of a new stream
        self._write = write
        self._on_sent = on_sent
        self._window = _FIRST_WINDOW_BYTES
        self._frame_bytes = h2.MAX_FRAME_BYTES
        self._waiting: dict[int, Stream] = {}

    def send(self, stream: Stream, headers: bytes, body: bytes, trailers: bytes) -> None:
        """Send an answer, at once as far as the peer takes it; blocks as `hpack` writes them."""
        size, number = len(body), stream.id
        opening = HEAD.pack(0, len(headers), h2.HEADERS, h2.END_HEADERS, number)
        closing = HEAD.pack(0, len(trailers), h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, number)
        if size <= min(self._window, stream.window, self._frame_bytes) and not self.is_paused:
            self._window -= size
            data = HEAD.pack(size >> 8, size & 0xFF, h2.DATA, 0, number)
            self._write(b"".join((opening, headers, data, body, closing, trailers)))
            self._on_sent(stream)
            return
        self._write(opening + headers)
        stream.left, stream.closing = memoryview(body), closing + trailers
        self._waiting[number] = stream
        self.send_waiting()

    def send_waiting(self) -> None:
        """Send what there is room for by now."""
        for stream in tuple(self._waiting.values()):
            while not self.is_paused and (frames := self._next_frames(stream)):
                self._write(b"".join(frames))
            if not stream.left:
                del self._waiting[stream.id]
                self._write(stream.closing)
                self._on_sent(stream)

    def _next_frames(self, stream: Stream) -> list[bytes | memoryview]:
        """As much of an answer as there is room for and as is written at once."""
        frames: list[bytes | memoryview] = []
        for _ in range(_WRITTEN_FRAMES):
            size = min(len(stream.left), self._window, stream.window, self._frame_bytes)
            if size <= 0:
                break
            self._window -= size
            stream.window -= size
            frames.append(HEAD.pack(size >> 8, size & 0xFF, h2.DATA, 0, stream.id))
            frames.append(stream.left[:size])
            stream.left = stream.left[size:]
        return frames

    def forget(self, stream: Stream) -> None:
        """Nobody wants this answer any more."""
        self._waiting.pop(stream.id, None)

    def widen(self, stream: Stream | None, data: bytes) -> None:
        """A WINDOW_UPDATE came, for a stream or (None) for all of them together.

        Raises:
            BrokenPeer: it grants nothing, or more than there can be.
        """
        more = int.from_bytes(data) & h2.MAX_WINDOW_BYTES
        if len(data) != 4 or not more:  # noqa: PLR2004  # what the protocol says
            raise BrokenPeer(h2.PROTOCOL_ERROR, "got room of no bytes")
        if stream is None:
            self._window += more
        else:
            stream.window += more
        if max(self._window, stream.window if stream else 0) > h2.MAX_WINDOW_BYTES:
            raise BrokenPeer(h2.FLOW_CONTROL_ERROR, "got room of more bytes than there can be")
        self.send_waiting()

    def change(self, settings: bytes, streams: Iterable[Stream]) -> None:
        """A SETTINGS frame came, and these are the open streams.

        Raises:
            BrokenPeer: it says what the protocol does not allow.
        """
        for name, value in h2.read_settings(settings):
            if name == h2.FRAME_SIZE:
                self._frame_bytes = value
            elif name == h2.INITIAL_WINDOW_SIZE:
                for stream in streams:
                    stream.window += value - self.first_window
                self.first_window = value
        self.send_waiting()
