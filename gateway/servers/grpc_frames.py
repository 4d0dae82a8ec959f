"""How does gRPC lie in an HTTP/2 stream: its messages in the body, its timeout and status in headers?

Sans I/O, after "gRPC over HTTP2". A message is preceded by five bytes: whether it is compressed, and its
length. What is not so is refused as gRPC's own servers refuse it.
"""

from __future__ import annotations

import re
import zlib
from typing import Final
from urllib.parse import quote

from gateway.servers.grpc_calls import Refusal

__all__ = ["ACCEPTED", "Frames", "framed", "only_message", "percent_encoded", "timeout_s_of"]

ACCEPTED: Final = b"identity, deflate, gzip"
"""The encodings that messages may have, as `grpc-accept-encoding` tells them."""

_HEAD_BYTES: Final = 5
_UNITS: Final = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_TIMEOUT: Final = re.compile(rb"([0-9]{1,8})([HMSmun])")
_WINDOW_BITS: Final = {b"gzip": 16 + zlib.MAX_WBITS, b"deflate": zlib.MAX_WBITS}
_PLAIN: Final = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")


def framed(message: bytes) -> bytes:
    """The message with its length before it."""
    return b"\0%b%b" % (len(message).to_bytes(4, "big"), message)


def timeout_s_of(value: bytes) -> float | None:
    """The seconds that `grpc-timeout` says; None where it is no timeout, which sets none."""
    match = _TIMEOUT.fullmatch(value)
    return None if match is None else int(match[1]) * _UNITS[match[2]]


def percent_encoded(text: str) -> bytes:
    """A status text as `grpc-message` carries it."""
    return quote(text, safe=_PLAIN, errors="replace").encode()


class Frames:
    """The messages of one stream, from the pieces of its body.

    Args:
        most: Bytes that a message may have, before and after it is inflated.
        encoding: The `grpc-encoding` header; b"" if there is none.
    """

    def __init__(self, most: int, encoding: bytes) -> None:
        self._most = most
        self._encoding = encoding
        self._data = bytearray()

    def feed(self, piece: bytes) -> None:
        """Take the next piece of the body."""
        self._data += piece

    def next_message(self) -> bytes | None:
        """The next message that is whole, None if there is none yet.

        Raises:
            Refusal: it is too large, or cannot be inflated. The stream cannot go on.
        """
        data = self._data
        if len(data) < _HEAD_BYTES:
            return None
        end = _HEAD_BYTES + int.from_bytes(data[1:_HEAD_BYTES], "big")
        if end - _HEAD_BYTES > self._most:
            raise _too_large(end - _HEAD_BYTES, self._most)
        if len(data) < end:
            return None
        flag, message = data[0], bytes(memoryview(data)[_HEAD_BYTES:end])
        del data[:end]
        return message if flag == 0 else self._inflated(flag, message)

    def check_ended(self) -> None:
        """Raise Refusal if the body ended in the middle of a message."""
        if self._data:
            raise Refusal("INTERNAL", f"the stream ended {len(self._data)} bytes into a message")

    def _inflated(self, flag: int, message: bytes) -> bytes:
        if flag != 1:
            raise Refusal("INTERNAL", f"got {flag} where a message says whether it is compressed")
        if self._encoding in (b"", b"identity"):
            raise Refusal("INTERNAL", "got a compressed message, and no grpc-encoding")
        bits = _WINDOW_BITS.get(self._encoding)
        if bits is None:
            encoding = self._encoding[:32].decode("latin-1")
            raise Refusal(
                "UNIMPLEMENTED",
                f"got grpc-encoding {encoding!r}, taken are {ACCEPTED.decode()}",
                (("grpc-accept-encoding", ACCEPTED.decode()),),
            )
        return _inflate(message, bits, self._most)


def only_message(body: bytes, most: int, encoding: bytes) -> bytes:
    """The message of a call that has one.

    Raises:
        Refusal: there is none, or another behind it, or it is as `Frames` refuses it.
    """
    size = len(body) - _HEAD_BYTES
    if size <= most and body[:_HEAD_BYTES] == b"\0%b" % max(0, size).to_bytes(4, "big"):
        return body[_HEAD_BYTES:]
    frames = Frames(most, encoding)
    frames.feed(body)
    message = frames.next_message()
    if message is None:
        frames.check_ended()
        raise Refusal("UNIMPLEMENTED", "got no message, this method takes one")
    if frames.next_message() is not None:
        raise Refusal("UNIMPLEMENTED", "got several messages, this method takes one")
    frames.check_ended()
    return message


def _inflate(message: bytes, bits: int, most: int) -> bytes:
    inflater = zlib.decompressobj(bits)
    try:
        plain = inflater.decompress(message, most + 1)
    except zlib.error as error:
        raise Refusal("INTERNAL", f"a message cannot be inflated: {error}") from None
    if len(plain) > most:
        raise _too_large(len(plain), most)
    if not inflater.eof:
        raise Refusal("INTERNAL", "a message cannot be inflated: it ends too early")
    return plain


def _too_large(size: int, most: int) -> Refusal:
    return Refusal("RESOURCE_EXHAUSTED", f"got a message larger than max ({size} vs. {most})")
