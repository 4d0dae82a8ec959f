"""The other end of an HTTP/2 connection, and who is above it, without a socket."""

from __future__ import annotations

from typing import TypeAlias

import pytest

from serving.torch_server import http2_frames as h2
from serving.torch_server.hpack import write_headers
from serving.torch_server.http2 import Http2, Stream
from serving.torch_server.http2_frames import HEAD, PREFACE, BrokenPeer, frame

__all__ = [
    "ENDS",
    "HELLO",
    "MAX_BODY_BYTES",
    "PATH",
    "Peer",
    "Sent",
    "code_of",
    "data",
    "headers",
    "met",
    "room",
]

MAX_BODY_BYTES = 1000
PATH = write_headers([(b":path", b"/x")])
ENDS = h2.END_HEADERS | h2.END_STREAM
HELLO = PREFACE + h2.settings({})


Sent: TypeAlias = tuple[int, int, int, bytes]
"""A frame: kind, flags, stream, data."""


class Peer:
    """What is at the other end, and above: it notes what happens and what is sent."""

    def __init__(self) -> None:
        self.began: list[Stream] = []
        self.asked: list[Stream] = []
        self.gone: list[Stream] = []
        self.sent: list[Sent] = []
        self._seen = 0
        self.http2 = Http2(self, self.write, max_body_bytes=MAX_BODY_BYTES)

    def write(self, data: bytes | memoryview) -> None:
        octets = bytes(data)
        while octets:
            high, low, kind, flags, stream = HEAD.unpack_from(octets)
            end = HEAD.size + (high << 8 | low)
            assert end <= len(octets)
            self.sent.append((kind, flags, stream, octets[HEAD.size : end]))
            octets = octets[end:]

    def on_headers(self, stream: Stream) -> None:
        self.began.append(stream)

    def on_request(self, stream: Stream) -> None:
        self.asked.append(stream)

    def on_gone(self, stream: Stream) -> None:
        self.gone.append(stream)

    def frames(self) -> list[Sent]:
        """What was sent since the last time."""
        new, self._seen = self.sent[self._seen :], len(self.sent)
        return new

    def kinds(self) -> list[tuple[int, int]]:
        """The kinds and streams of what was sent since the last time."""
        return [(kind, stream) for kind, _, stream, _ in self.frames()]

    def body(self, stream: int) -> bytes:
        """What was sent of an answer's body."""
        return b"".join(each[3] for each in self.sent if (each[0], each[2]) == (h2.DATA, stream))


def met() -> Peer:
    """A connection on which both sides have said hello."""
    peer = Peer()
    peer.http2.receive(HELLO)
    assert peer.frames() == [(h2.SETTINGS, h2.ACK, 0, b"")]
    return peer


def headers(stream: int = 1, flags: int = h2.END_HEADERS) -> bytes:
    return frame(h2.HEADERS, flags, stream, PATH)


def data(octets: bytes, stream: int = 1, flags: int = h2.END_STREAM) -> bytes:
    return frame(h2.DATA, flags, stream, octets)


def room(size: int, stream: int = 0) -> bytes:
    return frame(h2.WINDOW_UPDATE, 0, stream, size.to_bytes(4))


def code_of(peer: Peer, octets: bytes) -> int:
    with pytest.raises(BrokenPeer) as caught:
        peer.http2.receive(octets)
    return caught.value.code
