"""How does a TF Serving TensorProto become a Tensor, and back?

Rules:
- A TensorProto carries its values as raw bytes (`tensor_content`) or in the typed field of its datatype
  (`float_val`, `int_val`, …). Both are read; content wins where both are set, as in TensorFlow.
- A typed field shorter than the shape repeats its last value, an empty one means zeros, and surplus
  values are dropped. That filling is the one place where a small message asks for much memory: it is
  bounded by the caller of `decode_tensor`.
- Element counts are computed with Python's integers and compared with the bytes at hand before any
  array is made.
- An array read from `tensor_content`, or from a packed fixed-width field, is a read-only view of the
  message's bytes.
- Narrow integers travel as int32 and wrap around (300 is 44 as UINT8), as TensorFlow casts them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
from google.protobuf.message import DecodeError

from gateway._stubs import tfs_wire_pb2 as wire
from gateway.codecs.protobuf import NotAMessage
from gateway.codecs.tfs_strings import malformed, strings_in
from gateway.errors import InvalidRequest, Unsupported
from gateway.tensors import DTYPES, MAX_RANK, Array, Datatype, Tensor

__all__ = [
    "DATATYPES",
    "DT_NUMBERS",
    "decode_tensor",
    "dtype_name",
    "write_content",
    "write_values",
]

DT_NUMBERS: Mapping[Datatype, int] = {
    "FP32": wire.DT_FLOAT,
    "FP64": wire.DT_DOUBLE,
    "INT32": wire.DT_INT32,
    "UINT8": wire.DT_UINT8,
    "INT16": wire.DT_INT16,
    "INT8": wire.DT_INT8,
    "BYTES": wire.DT_STRING,
    "INT64": wire.DT_INT64,
    "BOOL": wire.DT_BOOL,
    "BF16": wire.DT_BFLOAT16,
    "UINT16": wire.DT_UINT16,
    "FP16": wire.DT_HALF,
    "UINT32": wire.DT_UINT32,
    "UINT64": wire.DT_UINT64,
}
"""TF Serving's DataType number of each datatype that Tandem carries."""

DATATYPES: Mapping[int, Datatype] = {number: name for name, number in DT_NUMBERS.items()}

_MAX_ARRAY_BYTES = 2**62  # numpy refuses a shape like [0, 2**62] by its strides, not by its size
_TRUTH = b"\0\1"


def dtype_name(number: int) -> str:
    """`DT_FLOAT` for 1; `DataType 101` for a number that has no name here."""
    try:
        return wire.DataType.Name(cast("wire.DataType", number))
    except ValueError:
        return f"DataType {number}"


def decode_tensor(name: str, proto: wire.TensorProto, max_filled_bytes: int) -> Tensor:
    """Read one tensor, `[dims of tensor_shape]`, `[]` when the shape is missing.

    Args:
        name: The tensor's name, for the result and for errors.
        proto: The message to read.
        max_filled_bytes: How large an array that repeats its last value may become.

    Raises:
        InvalidRequest: the datatype is none, the shape is impossible, or the bytes do not fit it.
        Unsupported: a datatype that Tandem does not carry.
    """
    codec = _CODECS.get(proto.dtype)
    if codec is None:
        raise _unknown_dtype(name, proto.dtype)
    shape = tuple([dim.size for dim in proto.tensor_shape.dim])
    count = _count(name, shape, codec.dtype.itemsize)
    content = proto.tensor_content
    if content and count:  # TensorFlow does not look at the content of no elements
        flat = _read_content(name, codec, content, count)
    else:
        flat = codec.read(proto)
        if flat.size != count:
            flat = _fit(name, codec, proto, count=count, max_filled_bytes=max_filled_bytes)
    return Tensor(name, codec.datatype, flat.reshape(shape))


def write_content(tensor: Tensor, proto: wire.TensorProto) -> None:
    """Fill an empty `proto`, values as raw bytes: the cheapest form, for requests to a backend."""
    array = tensor.array
    proto.dtype = cast("wire.DataType", DT_NUMBERS[tensor.datatype])
    _write_shape(array.shape, proto)
    if tensor.datatype == "BYTES":
        proto.string_val.extend(array.ravel().tolist())
    else:
        proto.tensor_content = array.tobytes()


def write_values(tensor: Tensor, proto: wire.TensorProto) -> None:
    """Fill an empty `proto`, values in typed fields: the form in which TF Serving answers."""
    proto.dtype = cast("wire.DataType", DT_NUMBERS[tensor.datatype])
    _write_shape(tensor.array.shape, proto)
    if tensor.array.size:
        _CODECS[proto.dtype].write(tensor.array, proto)


def _write_shape(shape: tuple[int, ...], proto: wire.TensorProto) -> None:
    add = proto.tensor_shape.dim.add
    for size in shape:
        add(size=size)
    if not shape:
        proto.tensor_shape.SetInParent()


def _count(name: str, shape: tuple[int, ...], item_bytes: int) -> int:
    if len(shape) > MAX_RANK:
        raise malformed(name, f"got {len(shape)} dimensions, at most {MAX_RANK} are taken")
    if shape and min(shape) < 0:
        raise malformed(name, f"got shape {list(shape)}, dimensions must not be negative")
    count = math.prod(shape)
    if not count and math.prod([dim or 1 for dim in shape]) * item_bytes > _MAX_ARRAY_BYTES:
        raise malformed(name, f"got shape {list(shape)}, which is too large")
    return count


def _read_content(name: str, codec: _Codec, content: bytes, count: int) -> Array:
    if codec.datatype == "BYTES":
        return _object_array(strings_in(name, content, count))
    if len(content) != count * codec.dtype.itemsize:
        wanted = count * codec.dtype.itemsize
        raise malformed(name, f"got {len(content)} bytes of content, the shape wants {wanted}")
    if codec.datatype == "BOOL" and content.translate(None, _TRUTH):
        raise malformed(name, "got a byte other than 0 and 1 in a boolean tensor")
    return np.frombuffer(content, codec.dtype)


def _fit(
    name: str, codec: _Codec, proto: wire.TensorProto, *, count: int, max_filled_bytes: int
) -> Array:
    """The values repeated or cut to `count`, as TensorFlow does."""
    values = codec.read(proto)
    if values.size < count and codec.unpacked:
        values = _read_unpacked(codec, proto, values)
    if values.size >= count:
        return values[:count]
    if count * codec.dtype.itemsize > max_filled_bytes:
        raise malformed(
            name,
            f"got {values.size} values for {count} elements; at most {max_filled_bytes} bytes "
            f"are filled by repeating the last value",
        )
    filled: Array = np.empty(count, codec.dtype)
    filled[: values.size] = values
    filled[values.size :] = values[-1] if values.size else (b"" if codec.dtype.hasobject else 0)
    return filled


def _read_unpacked(codec: _Codec, proto: wire.TensorProto, packed: Array) -> Array:
    """Read what a writer sent one value at a time, which the stubs keep among the unknown fields."""
    found = _read_exactly(proto, codec.unpacked, codec.dtype)
    return found if found.size > packed.size else packed


def _read_exactly(proto: wire.TensorProto, field: str, dtype: np.dtype[np.generic]) -> Array:
    """A field that the stubs take for runs of bytes, read value by value as protobuf has it."""
    try:
        exact = wire.UnpackedValues.FromString(proto.SerializeToString())
    except DecodeError as exc:
        raise NotAMessage(f"tensor parsing error: a value in {field} is cut off") from exc
    return np.fromiter(cast("Iterable[float]", getattr(exact, field)), dtype)


def _object_array(strings: list[bytes]) -> Array:
    array: Array = np.empty(len(strings), np.object_)
    array[:] = strings
    return array


def _unknown_dtype(name: str, number: int) -> InvalidRequest | Unsupported:
    if number in wire.DataType.values() and number != wire.DT_INVALID:
        return Unsupported(f"tensor {name}: {dtype_name(number)} is not carried by this gateway")
    return malformed(name, f"got {dtype_name(number)}")


@dataclass(frozen=True, slots=True)
class _Codec:
    """How one datatype sits in typed fields; `unpacked` names the field if it is declared as bytes."""

    datatype: Datatype
    dtype: np.dtype[np.generic]
    read: Callable[[wire.TensorProto], Array]
    write: Callable[[Array, wire.TensorProto], None]
    unpacked: str = ""


def _packed(datatype: Datatype, field: str) -> _Codec:
    """A fixed-width type: one run of little-endian values, or, from an odd writer, several."""
    dtype = DTYPES[datatype]

    def read(proto: wire.TensorProto) -> Array:
        runs = getattr(proto, field)
        data = runs[0] if len(runs) == 1 else b"".join(runs)
        # Cut off in the middle of a value, or a boolean that takes more than one byte.
        if len(data) % dtype.itemsize or (datatype == "BOOL" and data.translate(None, _TRUTH)):
            return _read_exactly(proto, field, dtype)
        return np.frombuffer(data, dtype)

    def write(array: Array, proto: wire.TensorProto) -> None:
        getattr(proto, field).append(array.tobytes())

    return _Codec(datatype, dtype, read, write, unpacked=field)


def _varints(datatype: Datatype, field: str, carrier: str, bits: str = "") -> _Codec:
    """An integer type, or (with `bits`) a 16-bit float sent as its bit pattern."""
    dtype, wide = DTYPES[datatype], np.dtype(carrier)
    plain = np.dtype(bits) if bits else dtype

    def read(proto: wire.TensorProto) -> Array:
        values = getattr(proto, field)
        found: Array = np.fromiter(values, wide, count=len(values))
        return found.astype(plain, copy=False).view(dtype)

    def write(array: Array, proto: wire.TensorProto) -> None:
        getattr(proto, field).extend(array.ravel().view(plain).tolist())

    return _Codec(datatype, dtype, read, write)


def _strings() -> _Codec:
    def read(proto: wire.TensorProto) -> Array:
        return _object_array(list(proto.string_val))

    def write(array: Array, proto: wire.TensorProto) -> None:
        proto.string_val.extend(array.ravel().tolist())

    return _Codec("BYTES", DTYPES["BYTES"], read, write)


_CODECS: Mapping[int, _Codec] = {
    DT_NUMBERS[codec.datatype]: codec
    for codec in (
        _packed("FP32", "float_val"),
        _packed("FP64", "double_val"),
        _packed("BOOL", "bool_val"),
        _varints("INT8", "int_val", "<i4"),
        _varints("UINT8", "int_val", "<i4"),
        _varints("INT16", "int_val", "<i4"),
        _varints("UINT16", "int_val", "<i4"),
        _varints("INT32", "int_val", "<i4"),
        _varints("INT64", "int64_val", "<i8"),
        _varints("UINT32", "uint32_val", "<u4"),
        _varints("UINT64", "uint64_val", "<u8"),
        _varints("FP16", "half_val", "<i4", bits="<u2"),
        _varints("BF16", "half_val", "<i4", bits="<u2"),
        _strings(),
    )
}
