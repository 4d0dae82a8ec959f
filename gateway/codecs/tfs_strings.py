"""How does one run of bytes hold many strings? TensorFlow's form: every length as a varint, then the strings."""

from __future__ import annotations

from gateway.errors import InvalidRequest

__all__ = ["malformed", "strings_in"]

_MAX_VARINT_BYTES = 10


def strings_in(name: str, content: bytes, count: int) -> list[bytes]:
    """The `count` strings of the tensor's content.

    Raises:
        InvalidRequest: the content has not exactly so many; `name` is the tensor's.
    """
    if count > len(content):
        raise malformed(name, f"got {len(content)} bytes of content for {count} strings")
    lengths, position = _read_lengths(name, content, count)
    if position + sum(lengths) != len(content):
        raise malformed(name, f"got {len(content)} bytes, want {position + sum(lengths)}")
    strings = []
    for length in lengths:
        strings.append(content[position : position + length])
        position += length
    return strings


def malformed(name: str, detail: str) -> InvalidRequest:
    """The error of a tensor that cannot be read: TF Serving's words, and as a hint what it leaves out."""
    return InvalidRequest(f"tensor parsing error: {name}", hint=detail)


def _read_lengths(name: str, content: bytes, count: int) -> tuple[list[int], int]:
    """The lengths, and where they end."""
    head = content[:count]
    if head.isascii():  # short strings: each length is a byte
        return list(head), count
    lengths = []
    position = 0
    for _ in range(count):
        length, position = _read_varint(name, content, position)
        lengths.append(length)
    return lengths, position


def _read_varint(name: str, content: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift, byte in enumerate(content[position : position + _MAX_VARINT_BYTES]):
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:  # noqa: PLR2004 - the continuation bit of a varint
            return value, position + shift + 1
    raise malformed(name, "got a truncated string length")
