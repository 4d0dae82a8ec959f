"""What do the bytes of one field say: JSON, a .npy file, or an input's elements as they are?

The type that comes with them decides where it is one of JSON, text or binary data; else JSON is what is
a whole JSON list or object, for numbers whatever else reads as text, and everything else is raw. Text is
never raw numbers: neither "1.25", which would be four bytes of a float, nor JSON that is broken or cut off.
"""

from __future__ import annotations

import math

from gateway.codecs.json_text import load
from gateway.codecs.npy import is_npy, read_npy
from gateway.codecs.raw import decode_raw, objects
from gateway.codecs.torchserve_fields import Field, begins_as_json
from gateway.errors import InvalidRequest
from gateway.tensors import DTYPES, Array, TensorSpec

__all__ = ["array_of", "document_of", "may_be_json"]

_JSON = frozenset(("application/json", "text/json"))
_BINARY = ("application/octet-stream", "application/x-npy", "image/", "audio/", "video/")
_CONTROLS = bytes({*range(0x20), 0x7F} - {*b"\t\n\f\r"})  # which no text has


def document_of(field: Field, spec: TensorSpec | None) -> tuple[object] | None:
    """The field's JSON value; None if it is for `array_of`.

    `spec` is the input that the field is for, None if it is for several, which only JSON can hold.

    Raises:
        InvalidRequest: it must be JSON, and is none.
    """
    if not may_be_json(field, spec):
        return None
    try:
        return (load(field.value),)
    except InvalidRequest:
        if spec is None or not _may_be_raw(field, spec):
            raise
    return None


def array_of(field: Field, spec: TensorSpec) -> Array:
    """The elements of a .npy file, raw numbers, or for BYTES the one string that the field is.

    Numbers have the shape that is declared, with the one dimension that is open filled in: the rows, else
    they are one row. A string has no rows yet, and 1 in its other dimensions.

    Raises:
        InvalidRequest: the bytes make no whole number of elements, or the declaration does not tell.
    """
    data, path = field.value, field.name
    if is_npy(data):
        return read_npy(data, spec.datatype, path=path)
    if spec.datatype == "BYTES":
        dims = (spec.shape or ())[1:] if spec.has_rows else spec.shape or ()
        return objects([data], (1,) * len(dims), path)
    what = f"input {spec.name!r}"
    return decode_raw(data, spec.datatype, _raw_shape(len(data), spec, path), what=what, path=path)


def may_be_json(field: Field, spec: TensorSpec | None) -> bool:
    """Whether `document_of` has to look."""
    if _is_typed_json(field) or spec is None:
        return True
    if is_npy(field.value):
        return False
    if spec.datatype == "BYTES":
        return not field.content_type.startswith(_BINARY) and begins_as_json(field.value)
    return _is_text(field) or not field.value or begins_as_json(field.value)


def _may_be_raw(field: Field, spec: TensorSpec) -> bool:
    if _is_typed_json(field):
        return False
    if spec.datatype == "BYTES":
        return True
    return not (_is_text(field) or field.value.isascii()) and _fits(field, spec)


def _fits(field: Field, spec: TensorSpec) -> bool:
    try:
        _raw_shape(len(field.value), spec, field.name)
    except InvalidRequest:
        return False
    return True


def _is_typed_json(field: Field) -> bool:
    return field.content_type in _JSON or field.content_type.endswith("+json")


def _is_text(field: Field) -> bool:
    kind = field.content_type
    return kind.startswith("text/") or (
        not kind.startswith(_BINARY) and _reads_as_text(field.value)
    )


def _reads_as_text(value: bytes) -> bool:
    try:
        value.decode()  # which ends at a float's first bytes, for the most part
    except UnicodeDecodeError:
        return False
    return len(value.translate(None, _CONTROLS)) == len(value)


def _raw_shape(size: int, spec: TensorSpec, path: str) -> tuple[int, ...]:
    shape = [-1] if spec.shape is None else list(spec.shape)
    if shape.count(-1) > 1 and spec.has_rows:
        shape[0] = 1
    known = math.prod(dim for dim in shape if dim != -1) * DTYPES[spec.datatype].itemsize
    open_dims = shape.count(-1)
    if open_dims > 1:
        raise InvalidRequest(
            f"{size} raw bytes do not tell the shape {spec.describe_shape()} of input {spec.name!r};"
            " send a .npy file or JSON",
            path=path,
        )
    if open_dims and known and size % known == 0:
        shape[shape.index(-1)] = size // known
    elif open_dims or size != known:
        wanted = f"a multiple of {known}" if open_dims else str(known)
        raise InvalidRequest(
            f"got {size} raw bytes, {spec.datatype} {spec.describe_shape()} of input {spec.name!r}"
            f" has {wanted}",
            path=path,
        )
    return tuple(shape)
