"""Which model does a gRPC message name that could not be read? Pure.

In every request message of our dialects the model's name comes first: as field 1, or field 1 of a model's
specification there, or of the first task's. So it is found even where what follows it is no message.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from typing import Final

from gateway.codecs.wire_fields import fields

__all__ = ["model_asked", "model_named"]

_MAX_DEPTH: Final = 3
_MAX_FIELDS: Final = 64  # that may stand before it; a message of many must not cost us much
_FIRST: Final = 1 << 3 | 2
_SECOND: Final = 2 << 3 | 2


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


def model_asked(data: bytes) -> tuple[str, str | None]:
    """The model and the version that a ModelInferRequest asks for, whether we serve them or not."""
    told = {_FIRST: b"", _SECOND: b""}
    with suppress(ValueError):  # of more fields than are looked at
        for tag, value in fields(memoryview(data), _MAX_FIELDS):
            if tag in told:
                told[tag] = bytes(value)
    model, version = (text.decode("utf-8", "replace") for text in told.values())
    return model, version or None


def _first_field(data: memoryview) -> memoryview | None:
    """What field 1 holds; None where it is not there, or not in bytes."""
    try:
        for tag, value in fields(data, _MAX_FIELDS):
            if tag == _FIRST:
                return value
    except ValueError:
        pass  # no message, or too long a one: either way it names no model
    return None
