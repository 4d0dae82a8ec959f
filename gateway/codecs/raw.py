"""Which array do these raw tensor bytes hold, and which bytes hold this array?

The form that gRPC's `raw_input_contents` and the REST binary tensor data extension share: elements in
row-major order, little-endian, BOOL as one byte, BYTES as a 4-byte length before each element.

Rules:
- An array is a view of the bytes it came in, read-only then. A small one that is not aligned for its dtype
  is copied, which costs nothing; a large one stays as it is, and who needs it aligned asks its flags.
- The byte count is compared with the shape, in Python's integers, before any memory is taken.
- A BOOL byte other than 0 is true; the array then holds 1, as numpy expects of its own.
"""

from __future__ import annotations

import struct
from typing import TypeAlias

import numpy as np

from gateway.errors import InvalidRequest
from gateway.tensors import DTYPES, Array, Datatype, JoinedTensor, Tensor, count_elements

__all__ = [
    "VIEWED_BYTES",
    "RawBytes",
    "decode_raw",
    "encode_raw",
    "objects",
    "raw_buffer",
    "raw_buffers",
    "view",
]

VIEWED_BYTES = 4096
"""An array of so many bytes is a view, aligned or not."""

RawBytes: TypeAlias = bytes | memoryview

_LENGTH = struct.Struct("<I")


def decode_raw(
    data: RawBytes, datatype: Datatype, shape: tuple[int, ...], *, what: str, path: str
) -> Array:
    """The array of `datatype` and `shape` in `data`.

    Args:
        data: Exactly this tensor's bytes.
        datatype: How to read them.
        shape: The wire shape, not checked yet.
        what: The tensor in words, for errors: `input 'x' for model 'm'`.
        path: The tensor's place, for errors: `inputs[0]`.

    Raises:
        InvalidRequest: the bytes do not fit the shape, or the shape is none.
    """
    count = count_elements(shape, f"{path}.shape")
    if datatype == "BYTES":
        return objects(_split(data, count, what, path), shape, path)
    dtype = DTYPES[datatype]
    if len(data) != count * dtype.itemsize:
        raise _size_mismatch(what, count * dtype.itemsize, len(data), path)
    array = view(data, dtype, shape, path)
    if datatype == "BOOL":
        return _as_truth(array)
    return array if array.nbytes >= VIEWED_BYTES or array.flags.aligned else array.copy()


def encode_raw(array: Array) -> bytes:
    """The bytes of an array whose dtype is one of `DTYPES`; BYTES elements are `bytes`."""
    if array.dtype.hasobject:
        return b"".join(_prefixed(array))
    return array.tobytes()


def raw_buffer(array: Array) -> RawBytes:
    """As `encode_raw`, without a copy where there is none to be made: for who copies it anyway."""
    if array.nbytes < VIEWED_BYTES or array.dtype.hasobject:
        return encode_raw(array)
    return array.reshape(-1).view(np.uint8).data


def raw_buffers(tensor: Tensor) -> list[RawBytes]:
    """As `raw_buffer`, of a tensor whose rows may still be apart: one after the other."""
    if isinstance(tensor, JoinedTensor):
        return [raw_buffer(part) for part in tensor.parts]
    return [raw_buffer(tensor.array)]


def view(data: RawBytes, dtype: np.dtype[np.generic], shape: tuple[int, ...], path: str) -> Array:
    """The array of `dtype` and `shape` over `data`, which has exactly its bytes.

    Raises:
        InvalidRequest: no array can have the shape, although it has no elements.
    """
    try:
        return np.ndarray(shape, dtype, data)
    except (ValueError, OverflowError) as error:
        raise _no_such_shape(shape, path) from error


def objects(elements: list[bytes], shape: tuple[int, ...], path: str) -> Array:
    """The BYTES array of `shape`, which has exactly as many elements.

    Raises:
        InvalidRequest: no array can have the shape, although it has no elements.
    """
    try:
        return np.array(elements, dtype=np.object_).reshape(shape)
    except (ValueError, OverflowError) as error:
        raise _no_such_shape(shape, path) from error


def _split(data: RawBytes, count: int, what: str, path: str) -> list[bytes]:
    # Each element costs at least its length: no list grows past what arrived.
    if count * _LENGTH.size > len(data):
        raise _size_mismatch(what, f"at least {count * _LENGTH.size}", len(data), path)
    data = bytes(data)
    elements: list[bytes] = []
    end = 0
    for _ in range(count):
        start = end + _LENGTH.size
        if start <= len(data):
            end = start + _LENGTH.unpack_from(data, end)[0]
        if max(start, end) > len(data):
            raise _size_mismatch(what, f"at least {max(start, end)}", len(data), path)
        elements.append(data[start:end])
    if end != len(data):
        raise _size_mismatch(what, end, len(data), path)
    return elements


def _prefixed(array: Array) -> list[bytes]:
    parts: list[bytes] = []
    for element in array.ravel().tolist():
        parts += (_LENGTH.pack(len(element)), element)
    return parts


def _as_truth(array: Array) -> Array:
    octets = array.view(np.uint8)
    return octets.astype(np.bool_) if octets.size and octets.max() > 1 else array


def _size_mismatch(what: str, wanted: object, got: int, path: str) -> InvalidRequest:
    role = what.partition(" ")[0]
    return InvalidRequest(
        f"{role} byte size mismatch for {what}. Expected {wanted}, got {got}", path=f"{path}.data"
    )


def _no_such_shape(shape: tuple[int, ...], path: str) -> InvalidRequest:
    return InvalidRequest(f"got {list(shape)}, no array can have that shape", path=f"{path}.shape")
