"""Which model does a gRPC message name that could not be read? Pure.

In every request message of our dialects the model's name comes first: as field 1, or field 1 of a model's
specification there, or of the first task's. So it is found even where what follows it is no message.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

__all__ = ["model_named"]

_MAX_DEPTH: Final = 3
_MAX_FIELDS: Final = 64  # that may stand before it; a message of many must not cost us much
_FIRST: Final = 1 << 3 | 2
_VARINT, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5
_MAX_SHIFT: Final = 63


def model_named(data: bytes, known: Collection[str]) -> str:
    """The first of the `known` models that `data` names where a request names its model, else ""."""
    names = {name.encode(): name for name in known}
    longest = max(map(len, names), default=0)
    within = memoryview(data)
    for _ in range(_MAX_DEPTH):
        found = _first_field(within)
        if found is None:
            break
        within = found
        if len(found) <= longest and bytes(found) in names:
            return names[bytes(found)]
    return ""


def _first_field(data: memoryview) -> memoryview | None:
    """What field 1 holds; None where it is not there, or not in bytes."""
    at = 0
    try:
        for _ in range(_MAX_FIELDS):
            tag, at = _varint(data, at)
            size, start = _extent(data, at, tag & 7)
            if tag == _FIRST:
                return data[start : start + size] if start + size <= len(data) else None
            at = start + size
    except (IndexError, ValueError):
        pass  # the end, or no message: either way it names no model
    return None


def _extent(data: memoryview, at: int, wire_type: int) -> tuple[int, int]:
    """The bytes of a field's value, and where they start."""
    if wire_type == _DELIMITED:
        return _varint(data, at)
    if wire_type == _VARINT:
        return 0, _varint(data, at)[1]
    if wire_type in (_FIXED64, _FIXED32):
        return (8 if wire_type == _FIXED64 else 4), at
    raise ValueError(wire_type)


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, _MAX_SHIFT + 1, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the last one has no high bit
            return value, at
    raise ValueError(value)
