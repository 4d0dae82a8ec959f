"""How do output tensors become the body of TF Serving's answer?

One output stands alone, several stand under their names: rows are a list of objects, columns an object
of nested lists. Numbers are written by orjson straight from the arrays. It writes null for NaN and
infinities, so a text with null in it is written again, array by array, with those words in place.
"""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from typing import Literal, TypeAlias, cast

import numpy as np
import orjson

from gateway.codecs.json_text import nested_text
from gateway.codecs.tfs_json_text import escaped
from gateway.errors import InvalidRequest
from gateway.tensors import Array, Tensor

__all__ = ["Form", "write_outputs"]

Form: TypeAlias = Literal["row", "columnar"]

_Values: TypeAlias = "Array | list[object]"

_BYTES_SUFFIX = "_bytes"
_KEYS: Mapping[Form, str] = {"row": "predictions", "columnar": "outputs"}
_WITH_ARRAYS = orjson.OPT_SERIALIZE_NUMPY
_NOT_NUMBERS = frozenset(("BYTES", "BF16"))  # to orjson


def write_outputs(outputs: tuple[Tensor, ...], form: Form) -> bytes:
    """Write `{"predictions": …}` for rows, `{"outputs": …}` for columns.

    Raises:
        InvalidRequest: there is no output; in row form, an output has no rows or another number of them.
    """
    if not outputs:
        raise InvalidRequest("Cannot convert empty tensor map to JSON")
    only = outputs[0]
    array = only.array
    if len(outputs) == 1 and only.datatype not in _NOT_NUMBERS and array.ndim:
        # The common case at once: one array of numbers, if all of them are finite.
        flags = array.flags
        if not (flags.c_contiguous and flags.aligned):
            array = array.copy()
        text = orjson.dumps({_KEYS[form]: array}, option=_WITH_ARRAYS)
        if b"null" not in text:
            return text
    if form == "row":
        _check_rows(outputs)
    values = {tensor.name: _values_of(tensor) for tensor in outputs}
    text = _dump(_arrange(values, form))
    if b"null" in text:
        text = _dump(_arrange(values, form, with_nan=True))
    return text


def _check_rows(outputs: tuple[Tensor, ...]) -> None:
    expected: int | None = None
    for tensor in outputs:
        if not tensor.shape:
            raise InvalidRequest(f"Tensor name: {tensor.name} has no shape information ")
        rows = tensor.shape[0]
        if expected is not None and rows != expected:
            raise InvalidRequest(
                f"Tensor name: {tensor.name} has inconsistent batch size: {rows}"
                f" expecting: {expected}"
            )
        expected = rows


def _arrange(
    values: Mapping[str, _Values], form: Form, *, with_nan: bool = False
) -> dict[str, object]:
    key = _KEYS[form]
    if len(values) == 1:
        (only,) = values.values()
        return {key: _element(only, with_nan=with_nan)}
    if form == "columnar":
        return {key: {name: _element(v, with_nan=with_nan) for name, v in values.items()}}
    rows = [
        {name: _element(v[row], with_nan=with_nan) for name, v in values.items()}
        for row in range(len(next(iter(values.values()))))
    ]
    return {key: rows}


def _element(value: object, *, with_nan: bool) -> object:
    """What orjson can write: arrays as they are, or, when there may be a NaN, their finished text."""
    if isinstance(value, (np.ndarray, np.generic)):
        array = np.asarray(value)
        if with_nan:
            return nested_text(array)
        return array if array.ndim else array[()]
    return value


def _values_of(tensor: Tensor) -> _Values:
    """The elements in a form that orjson writes, still indexed by row."""
    array = tensor.array
    if tensor.datatype == "BYTES":
        return _strings(array, as_base64=tensor.name.endswith(_BYTES_SUFFIX))
    if tensor.datatype == "BF16":
        return array.astype(np.float32)
    return array.copy() if not (array.flags.c_contiguous and array.flags.aligned) else array


def _strings(array: Array, *, as_base64: bool) -> list[object]:
    write = _base64 if as_base64 else _string
    flat: list[object] = [write(element) for element in array.ravel().tolist()]
    written = np.empty(array.size, np.object_)
    written[:] = flat
    return cast("list[object]", written.reshape(array.shape).tolist())


def _base64(data: bytes) -> dict[str, str]:
    return {"b64": binascii.b2a_base64(data, newline=False).decode("ascii")}


def _string(data: bytes) -> str | orjson.Fragment:
    try:
        return data.decode()
    except UnicodeDecodeError:
        # As TF Serving: the bytes go out as they are, although that is no JSON then.
        text = escaped(data.decode("utf-8", "surrogateescape"))
        return orjson.Fragment(text.encode("utf-8", "surrogateescape"))


def _dump(document: dict[str, object]) -> bytes:
    return orjson.dumps(document, option=_WITH_ARRAYS)
