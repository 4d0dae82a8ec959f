"""How do tensors look in TorchServe's JSON, whichever side writes it?

Rules:
- FP16 and BF16 are plain numbers; NaN and infinities are bare words.
- BYTES elements are text, `{"b64": …}` where they are none.
"""

from __future__ import annotations

import binascii
from collections.abc import Sequence
from typing import TypeAlias, cast

import numpy as np
import orjson

from gateway.codecs.json_text import nested_text
from gateway.tensors import Array, Tensor

__all__ = ["Writable", "nested", "row_objects", "row_of"]

Writable: TypeAlias = "orjson.Fragment | object"
"""What `json_text.dump` can write."""

_HALVES = frozenset(("FP16", "BF16"))


def nested(tensor: Tensor) -> Writable:
    """The elements, a list for every dimension; a plain value for a scalar."""
    array = tensor.array
    if tensor.datatype == "BYTES":
        return _strings(array)
    if tensor.datatype in _HALVES:
        array = array.astype(np.float32)
    return nested_text(np.ascontiguousarray(array) if array.ndim else array)


def row_of(tensor: Tensor, row: int) -> Tensor:
    """One row of a tensor `[rows, …]`, without that dimension."""
    return Tensor(tensor.name, tensor.datatype, np.asarray(tensor.array[row]))


def row_objects(tensors: Sequence[Tensor]) -> list[dict[str, Writable]]:
    """An object for every row, with a value for every tensor; as many as the shortest has rows."""
    rows = min(tensor.array.shape[0] for tensor in tensors)
    return [{tensor.name: nested(row_of(tensor, row)) for tensor in tensors} for row in range(rows)]


def _strings(array: Array) -> object:
    if not array.ndim:
        return _string(cast("bytes", array[()]))
    flat = [_string(element) for element in array.ravel().tolist()]
    written = np.empty(array.size, np.object_)
    written[:] = flat
    return written.reshape(array.shape).tolist()


def _string(data: bytes) -> object:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"b64": binascii.b2a_base64(data, newline=False).decode("ascii")}
