"""Which fields does a message have, as far as the wire tells without its type? Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

__all__ = ["fields", "number"]

_VARINT, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5
_MAX_SHIFT: Final = 63


def fields(data: memoryview, most: int) -> Iterator[tuple[int, memoryview]]:
    """The tag (field number and wire type) and the bytes of each field, in their order.

    Raises:
        ValueError: there are more than `most`, or it is no message.
    """
    at, end = 0, len(data)
    for _ in range(most):
        if at == end:
            return
        tag, at = _varint(data, at)
        size, at = _extent(data, at, tag & 7)
        if size > end - at:
            raise ValueError("cut off")
        yield tag, data[at : at + size]
        at += size
    if at != end:
        raise ValueError(f"more than {most} fields")


def number(value: memoryview) -> int:
    """What a varint says.

    Raises:
        ValueError: it is none.
    """
    return _varint(value, 0)[0]


def _extent(data: memoryview, at: int, wire_type: int) -> tuple[int, int]:
    """The bytes of a field's value, and where they start."""
    if wire_type == _DELIMITED:
        return _varint(data, at)
    if wire_type == _VARINT:
        return _varint(data, at)[1] - at, at
    if wire_type in (_FIXED64, _FIXED32):
        return (8 if wire_type == _FIXED64 else 4), at
    raise ValueError(f"got wire type {wire_type}")


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, _MAX_SHIFT + 1, 7):
        if at == len(data):
            raise ValueError("cut off")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the last one has no high bit
            return value, at
    raise ValueError("got a number that does not end")
