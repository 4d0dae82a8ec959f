"""How do bytes become a protobuf message, and a message bytes, with our own errors?

protobuf copies every byte string into a message, and again out of it. So large raw tensors go past it: a
field of bytes is written behind the rest of the message, and read from where it stands in the bytes that
arrived. Both are what the wire format says, and what comes out is what protobuf writes.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TypeAlias, TypeVar

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError, Message

from gateway.errors import BodyTooLarge, InvalidRequest

__all__ = [
    "Blob",
    "NotAMessage",
    "head_with",
    "parse",
    "parse_apart",
    "parse_around",
    "serialize",
    "serialize_with",
]

Blob: TypeAlias = bytes | memoryview

MAX_MESSAGE_BYTES = 2**31 - 1  # protobuf's own limit
APART_BYTES = 16 * 1024
"""Smaller messages are left to protobuf: it copies them faster than Python finds the blobs in them."""

_MAX_FIELDS = 256  # looked at in Python, so that a message of many is not a way to stop us
_DELIMITED = 2  # the wire type of strings, bytes and messages

_AnyMessage = TypeVar("_AnyMessage", bound=Message)


class NotAMessage(InvalidRequest):
    """The bytes are no message at all, which a server of generated code never gets to see."""


def parse(kind: type[_AnyMessage], data: bytes) -> _AnyMessage:
    """The message of type `kind` in `data`.

    Raises:
        NotAMessage: the bytes are none.
    """
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise _not_a_message(kind, data) from error


def parse_apart(
    kind: type[_AnyMessage], data: bytes, field: str
) -> tuple[_AnyMessage, Sequence[Blob]]:
    """The message of type `kind` in `data`, and what its repeated bytes field `field` holds.

    Where the message is large, it comes without that field, whose values are views of `data`.

    Raises:
        InvalidRequest: the bytes are none.
    """
    if len(data) >= APART_BYTES:
        found = _cut(data, _tag(kind.DESCRIPTOR, field))
        if found is not None:
            rest, blobs = found
            return parse(kind, rest), blobs
    message = parse(kind, data)
    return message, getattr(message, field)[:]  # a list is walked twice as fast as the container


def parse_around(
    kind: type[_AnyMessage], data: bytes, field: str
) -> tuple[_AnyMessage, Sequence[Blob]]:
    """The message of type `kind` in `data`, and what its message in `field` holds, which is not read.

    Where the message is small, all of it is read, and the second is empty.

    Raises:
        NotAMessage: the bytes are none, or have more fields beside that one than any such message.
    """
    if len(data) < APART_BYTES:
        return parse(kind, data), ()
    found = _cut(data, _tag(kind.DESCRIPTOR, field))
    if found is None:
        raise _not_a_message(kind, data)
    rest, blobs = found
    return parse(kind, rest), blobs


def serialize(message: Message) -> bytes:
    """The bytes of `message`.

    Raises:
        BodyTooLarge: more than a protobuf message may have. Python writes it, but nobody reads it.
    """
    data = message.SerializeToString()
    _check_size(type(message), len(data))
    return data


def serialize_with(message: Message, field: str, blobs: Sequence[Blob | Sequence[Blob]]) -> bytes:
    """The bytes of `message` with `blobs` in its field `field`, the last it has: of bytes or a message.

    Each may be in pieces, which are written one behind the other.

    Raises:
        BodyTooLarge: more than a protobuf message may have.
    """
    kind = type(message)
    tag = _tag(kind.DESCRIPTOR, field)
    parts: list[Blob] = [message.SerializeToString()]
    size = len(parts[0])
    for blob in blobs:
        pieces: Sequence[Blob] = (blob,) if isinstance(blob, bytes | memoryview) else blob
        length = sum(map(len, pieces))
        prefix = _prefix(tag, length)
        parts += (prefix, *pieces)
        size += len(prefix) + length
    _check_size(kind, size)
    return b"".join(parts)


def head_with(message: Message, field: str, size: int) -> bytes:
    """What stands before the last `size` bytes of what `serialize_with` makes of one blob of that size.

    Raises:
        BodyTooLarge: more than a protobuf message may have.
    """
    kind = type(message)
    head = message.SerializeToString() + _prefix(_tag(kind.DESCRIPTOR, field), size)
    _check_size(kind, len(head) + size)
    return head


def _not_a_message(kind: type[Message], data: bytes) -> NotAMessage:
    return NotAMessage(f"got {len(data)} bytes that are no {kind.DESCRIPTOR.name} message")


def _check_size(kind: type[Message], size: int) -> None:
    if size > MAX_MESSAGE_BYTES:
        raise BodyTooLarge(
            f"the {kind.DESCRIPTOR.name} has {size} bytes, at most {MAX_MESSAGE_BYTES} fit"
        )


@functools.cache
def _tag(message: Descriptor, field: str) -> int:
    """What stands before each value of `field`, whose number is below 16."""
    return message.fields_by_name[field].number << 3 | _DELIMITED


def _cut(data: bytes, wanted: int) -> tuple[bytes, list[memoryview]] | None:
    """What is not in the wanted field, and what is; None where that is better left to protobuf."""
    view, end, at = memoryview(data), len(data), 0
    rest: list[memoryview] = []
    blobs: list[memoryview] = []
    for _ in range(_MAX_FIELDS):
        if at == end:
            return b"".join(rest), blobs
        start, tag = at, data[at]
        if tag & 0x80 or tag & 7 != _DELIMITED:
            return None  # of no field that these messages have
        size, at = _read_varint(data, at + 1)
        if size > end - at:
            return None
        if tag == wanted:
            blobs.append(view[at : at + size])
        else:
            rest.append(view[start : at + size])
        at += size
    return None


def _prefix(tag: int, number: int) -> bytes:
    """A tag, and the length that follows it."""
    octets = bytearray((tag,))
    while number > 0x7F:  # noqa: PLR2004 - seven bits to a byte
        octets.append(number & 0x7F | 0x80)
        number >>= 7
    octets.append(number)
    return bytes(octets)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at `at` and where it ends; one that is cut off or too long is larger than any message."""
    number = 0
    for shift, octet in zip(range(0, 35, 7), data[at : at + 5], strict=False):
        number |= (octet & 0x7F) << shift
        at += 1
        if octet < 0x80:  # noqa: PLR2004 - the last byte
            return number, at
    return MAX_MESSAGE_BYTES + 1, at
