"""Which array do these listed elements make?

For the two forms that write a tensor one element at a time: JSON `data` and gRPC's typed `contents`.
`array.array` does the work: it checks ranges, refuses floats where an integer is wanted, and is faster
on short lists than numpy.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import Any

import numpy as np

from gateway.codecs.raw import objects, view
from gateway.errors import InvalidRequest
from gateway.tensors import DTYPES, Array, Datatype, count_elements

__all__ = ["array_of"]

_TYPECODES: Mapping[str, str] = {
    "INT8": "b",
    "INT16": "h",
    "INT32": "i",
    "INT64": "q",
    "UINT8": "B",
    "UINT16": "H",
    "UINT32": "I",
    "UINT64": "Q",
    "FP32": "f",  # beyond its range: infinite, as numpy's cast
    "FP64": "d",
}


def array_of(
    values: list[Any], datatype: Datatype, shape: tuple[int, ...], *, what: str, path: str
) -> Array:
    """The array of `datatype` and `shape` whose elements are `values`, in row-major order.

    Args:
        values: Already of the Python type for `datatype`: bool, int, float (or int), bytes.
        datatype: Any but FP16 and BF16, which have no listed form.
        shape: The wire shape, not checked yet.
        what: The tensor in words, for errors: `input 'x' for model 'm'`.
        path: The tensor's place, for errors: `inputs[0]`.

    Raises:
        InvalidRequest: too few or too many elements for the shape, or one out of range.
    """
    count = count_elements(shape, f"{path}.shape")
    if len(values) != count:
        raise InvalidRequest(
            f"got {len(values)} elements for {what}, shape {list(shape)} wants {count}",
            path=f"{path}.data",
        )
    if datatype == "BYTES":
        return objects(values, shape, path)
    if datatype == "BOOL":
        return view(bytes(values), DTYPES["BOOL"], shape, path)
    try:
        numbers = memoryview(array(_TYPECODES[datatype], values))
    except OverflowError as error:
        raise _out_of_range(values, datatype, what, path) from error
    return view(numbers, DTYPES[datatype], shape, path)


def _out_of_range(values: list[Any], datatype: Datatype, what: str, path: str) -> InvalidRequest:
    if datatype in {"FP32", "FP64"}:
        return InvalidRequest(
            f"got a number too large for {datatype} in {what}", path=f"{path}.data"
        )
    limits = np.iinfo(_TYPECODES[datatype])
    index, value = next(
        (index, value)
        for index, value in enumerate(values)
        if not limits.min <= value <= limits.max
    )
    return InvalidRequest(
        f"got {value} for {what}, {datatype} takes {limits.min} to {limits.max}",
        path=f"{path}.data[{index}]",
    )
