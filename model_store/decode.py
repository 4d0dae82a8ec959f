"""Does this JSON say exactly what the dataclass says, and if not, where does it differ?

Standard library only, because the servers and the build read manifests in three environments.

Rules: no key may be missing or unknown, no value is converted (`"8"` is not 8, `true` is not 1), and an
error names the place: `artifacts.torch.files["model.pt2"].bytes: got "x", wanted an integer`.
"""

from __future__ import annotations

import difflib
import json
import math
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

__all__ = ["DecodeError", "decode", "encode"]

T = TypeVar("T")

_SCALARS: Mapping[object, str] = {
    str: "a string",
    int: "an integer",
    float: "a number",
    bool: "true or false",
}

_SHOWN_CHARS = 60


class DecodeError(ValueError):
    """The JSON does not fit the type; the text starts with the place, and says what was got and wanted."""


def decode(kind: type[T], value: object, where: str = "") -> T:
    """`value`, as `json.loads` gave it, as a `kind`: a dataclass of scalars, tuples, mappings and dataclasses.

    Raises:
        DecodeError: a missing or unknown key, or a value of another type.
    """
    return cast("T", _decode(kind, value, where))


def encode(value: object) -> object:
    """The plain JSON value of a dataclass, which `decode` turns back into an equal one."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: encode(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): encode(inner) for key, inner in value.items()}
    if isinstance(value, tuple):
        return [encode(inner) for inner in value]
    return value


def _decode(kind: object, value: object, where: str) -> object:
    if isinstance(kind, type) and is_dataclass(kind):
        return _decode_dataclass(kind, value, where)
    origin = get_origin(kind)
    if origin is tuple:
        return _decode_tuple(get_args(kind)[0], value, where)
    if origin in (Union, types.UnionType):
        return _decode_union(get_args(kind), value, where)
    if origin is Literal:
        return _decode_literal(get_args(kind), value, where)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _decode_mapping(get_args(kind)[1], value, where)
    return _decode_scalar(kind, value, where)


def _decode_dataclass(kind: type, value: object, where: str) -> object:
    keys = _object(value, where)
    hints = get_type_hints(kind)
    known = [field.name for field in fields(kind)]
    for key in keys:
        if key not in known:
            raise DecodeError(f"{_join(where, key)}: unknown key{_nearest(key, known)}")
    for name in known:
        if name not in keys:
            raise DecodeError(f"{_join(where, name)}: missing")
    return kind(**{name: _decode(hints[name], keys[name], _join(where, name)) for name in known})


def _decode_mapping(inner: object, value: object, where: str) -> object:
    return {
        key: _decode(inner, element, f"{where}[{json.dumps(key)}]")
        for key, element in _object(value, where).items()
    }


def _decode_tuple(inner: object, value: object, where: str) -> object:
    if not isinstance(value, list):
        raise _mismatch(where, value, "a list")
    return tuple(_decode(inner, element, f"{where}[{i}]") for i, element in enumerate(value))


def _decode_union(kinds: tuple[object, ...], value: object, where: str) -> object:
    if value is None and types.NoneType in kinds:
        return None
    rest = [kind for kind in kinds if kind is not types.NoneType]
    if len(rest) == 1:
        return _decode(rest[0], value, where)
    # JSON's own type picks the member, so that true stays a boolean and 1 an integer.
    if type(value) in rest:
        return _decode(type(value), value, where)
    raise _mismatch(where, value, " or ".join(_SCALARS.get(kind, str(kind)) for kind in rest))


def _decode_literal(allowed: tuple[object, ...], value: object, where: str) -> object:
    if isinstance(value, str) and value in allowed:
        return value
    raise _mismatch(where, value, "one of " + ", ".join(json.dumps(word) for word in allowed))


def _decode_scalar(kind: object, value: object, where: str) -> object:
    if kind is float and type(value) is int:
        value = float(value)  # JSON has one kind of number
    if type(value) is not kind:
        raise _mismatch(where, value, _SCALARS[kind])
    if isinstance(value, float) and not math.isfinite(value):
        raise _mismatch(where, value, "a finite number")
    return value


def _object(value: object, where: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise _mismatch(where, value, "an object")
    return cast("Mapping[str, object]", value)


def _mismatch(where: str, value: object, wanted: str) -> DecodeError:
    got = json.dumps(value, default=repr)
    shown = got if len(got) <= _SHOWN_CHARS else f"{got[: _SHOWN_CHARS - 3]}..."
    return DecodeError(f"{where or 'the document'}: got {shown}, wanted {wanted}")


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _nearest(key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(key, known, n=1)
    return f'; did you mean "{near[0]}"?' if near else f", known are {', '.join(known)}"
