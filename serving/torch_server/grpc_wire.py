"""What does a gRPC call look like on HTTP/2? Its headers, its message, its status.

request   :path = /service/method, grpc-timeout, grpc-encoding; one message
answer    headers, one message, and trailers with the status; or an error: headers alone, status included
message   whether it is compressed (1 byte), its size (4 bytes), itself
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import quote

from gateway.errors import BodyTooLarge, InvalidRequest, Unsupported
from serving.torch_server.hpack import Headers, write_headers

__all__ = [
    "ANSWER",
    "NOT_GRPC",
    "OK",
    "PREFIX_BYTES",
    "expand",
    "failure",
    "is_grpc",
    "read_message",
    "timeout_s",
    "write_message",
]

_STATUSES = {
    name: number
    for number, name in enumerate(
        ("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
         "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED",
         "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED")
    )
}  # fmt: skip
_HEADERS = ((b":status", b"200"), (b"content-type", b"application/grpc"))

ANSWER = write_headers(_HEADERS)
OK = write_headers([(b"grpc-status", b"0")])
NOT_GRPC = write_headers([(b":status", b"415")])

_PREFIX = struct.Struct(">BL")
PREFIX_BYTES = _PREFIX.size

_TIMEOUT = re.compile(rb"(\d{1,8})([HMSmun])")
_UNITS_S = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}

_ENCODINGS = {b"gzip": 16 + zlib.MAX_WBITS, b"deflate": zlib.MAX_WBITS}
_MAX_TEXT_BYTES = 4096  # clients take 8 KiB of trailers
_PRINTABLE = "".join(chr(octet) for octet in range(0x20, 0x7F) if octet != ord("%"))


def is_grpc(headers: Headers) -> bool:
    """Whether this is a gRPC call at all, and not a browser's request."""
    content_type = headers.get(b"content-type", b"")
    return headers.get(b":method") == b"POST" and content_type.startswith(b"application/grpc")


def timeout_s(headers: Headers) -> float | None:
    """How long the caller waits; None if it does not say, or not so that one could read it."""
    text = headers.get(b"grpc-timeout")
    return None if text is None else _seconds(text)


@lru_cache(maxsize=256)  # a client says mostly the same
def _seconds(text: bytes) -> float | None:
    told = _TIMEOUT.fullmatch(text)
    return int(told[1]) * _UNITS_S[told[2]] if told else None


def read_message(parts: Sequence[bytes]) -> tuple[bytes, bool]:
    """The message of a call that has one, and whether it is compressed.

    Raises:
        InvalidRequest: it has none, or more, or half of one.
    """
    data = parts[0] if len(parts) == 1 else b"".join(parts)
    if len(data) < PREFIX_BYTES:
        raise InvalidRequest(f"got {len(data)} bytes, wanted a message")
    is_compressed, size = _PREFIX.unpack_from(data)
    if size != len(data) - PREFIX_BYTES:
        got = len(data) - PREFIX_BYTES
        raise InvalidRequest(
            f"got {got} bytes where a message of {size} was told, wanted one message"
        )
    return data[PREFIX_BYTES:], bool(is_compressed)


def expand(message: bytes, encoding: bytes, max_bytes: int) -> bytes:
    """What a compressed message says.

    Raises:
        Unsupported: it is compressed in a way that is not known here.
        BodyTooLarge: it says more than `max_bytes`.
        InvalidRequest: it is broken.
    """
    if encoding not in _ENCODINGS:
        raise Unsupported(
            f"got grpc-encoding {encoding.decode(errors='replace')!r}, wanted gzip or deflate"
        )
    reader = zlib.decompressobj(_ENCODINGS[encoding])
    try:
        said = reader.decompress(message, max_bytes + 1)
    except zlib.error as exc:
        raise InvalidRequest(f"the message cannot be decompressed: {exc}") from exc
    if len(said) > max_bytes:
        raise BodyTooLarge(f"got a message of more than {max_bytes} bytes")
    if not reader.eof:
        raise InvalidRequest("the compressed message is cut off")
    return said


def write_message(message: bytes) -> bytes:
    """A message as it travels."""
    return _PREFIX.pack(0, len(message)) + message


def failure(code: str, text: str) -> bytes:
    """All the headers of a call that failed."""
    while len(told := quote(text, _PRINTABLE, errors="replace").encode()) > _MAX_TEXT_BYTES:
        text = text[: len(text) // 2]
    status = str(_STATUSES[code]).encode()
    return write_headers((*_HEADERS, (b"grpc-status", status), (b"grpc-message", told)))
