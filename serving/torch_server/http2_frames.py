"""What do HTTP/2's frames look like? Their kinds, flags, error codes and bytes (RFC 9113 §4, §6, §7)."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping

__all__ = [
    "HEAD",
    "MAX_FRAME_BYTES",
    "MAX_WINDOW_BYTES",
    "PREFACE",
    "BrokenPeer",
    "frame",
    "read_settings",
    "settings",
    "unpadded",
]

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD = struct.Struct(">HBBBL")  # the length in two parts, the kind, the flags, the stream
MAX_FRAME_BYTES = 1 << 14  # the protocol's default, which we leave
MAX_WINDOW_BYTES = (1 << 31) - 1

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    range(10)
)  # fmt: skip
END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
WITH_PRIORITY = 0x20

MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, FRAME_SIZE, MAX_HEADER_LIST_SIZE = 3, 4, 5, 6

NO_ERROR, PROTOCOL_ERROR, FLOW_CONTROL_ERROR, STREAM_CLOSED, FRAME_SIZE_ERROR = 0, 1, 3, 5, 6
REFUSED_STREAM, COMPRESSION_ERROR, ENHANCE_YOUR_CALM = 7, 9, 11

_SETTING = struct.Struct(">HL")


class BrokenPeer(Exception):
    """The peer does not keep to the protocol, or asks for too much: its connection ends with `code`."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


def frame(kind: int, flags: int, stream: int, data: bytes) -> bytes:
    """A whole frame."""
    size = len(data)
    return HEAD.pack(size >> 8, size & 0xFF, kind, flags, stream) + data


def settings(values: Mapping[int, int]) -> bytes:
    """A SETTINGS frame."""
    return frame(SETTINGS, 0, 0, b"".join(_SETTING.pack(*pair) for pair in values.items()))


def read_settings(data: bytes) -> Iterator[tuple[int, int]]:
    """What a SETTINGS frame says, in its order.

    Raises:
        BrokenPeer: it is cut off, or says what the protocol does not allow.
    """
    if len(data) % _SETTING.size:
        raise BrokenPeer(FRAME_SIZE_ERROR, "got settings that are cut off")
    for name, value in _SETTING.iter_unpack(data):
        if name == INITIAL_WINDOW_SIZE and value > MAX_WINDOW_BYTES:
            raise BrokenPeer(FLOW_CONTROL_ERROR, f"got a window of {value} bytes")
        if name == FRAME_SIZE and not MAX_FRAME_BYTES <= value < 1 << 24:
            raise BrokenPeer(PROTOCOL_ERROR, f"got frames of {value} bytes")
        yield name, value


def unpadded(flags: int, data: bytes) -> bytes:
    """What a DATA or HEADERS frame holds.

    Raises:
        BrokenPeer: it is shorter than its padding.
    """
    if not flags & PADDED:
        return data
    if not data or data[0] >= len(data):
        raise BrokenPeer(PROTOCOL_ERROR, "got a frame shorter than its padding")
    return data[1 : len(data) - data[0]]
