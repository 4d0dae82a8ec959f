"""Which array does a .npy file hold, as the datatype that a model wants?

numpy's own reader evaluates the header as Python and may unpickle; both cost whatever their author likes.
This one takes the header that numpy writes, word for word, and compares sizes before it takes memory.

Rules:
- Numbers are converted as in JSON: any to a float datatype (beyond the range becomes infinite), integers
  to an integer datatype that holds every one of them. Truth values stay what they are.
- Strings (`S`, `U`) become BYTES; there may be at most `MAX_STRINGS`, because each becomes an object.
- Objects, dates and records are refused.
"""

from __future__ import annotations

import re

import numpy as np

from gateway.codecs.raw import objects, view
from gateway.errors import InvalidRequest
from gateway.tensors import DTYPES, Array, Datatype, count_elements

__all__ = ["MAX_STRINGS", "is_npy", "read_npy"]

MAX_STRINGS = 2**20

_MAGIC = b"\x93NUMPY"
_LENGTH_BYTES = {b"\x01\x00": 2, b"\x02\x00": 4, b"\x03\x00": 4}
_MAX_HEADER_BYTES = 10_000  # as numpy's reader has it
_HEADER = re.compile(
    rb"\{'descr': '([<>|=][biufSU][0-9]{1,6})', 'fortran_order': (True|False),"
    rb" 'shape': \(([0-9, ]{0,1024})\), ?\}[ ]*\n?"
)
_DIMENSION = re.compile(rb"[0-9]{1,19}")
_FLOATS = frozenset(("FP16", "BF16", "FP32", "FP64"))


def is_npy(data: bytes) -> bool:
    """Whether the bytes begin as a .npy file does."""
    return data.startswith(_MAGIC)


def read_npy(data: bytes, datatype: Datatype, *, path: str) -> Array:
    """The file's array in the dtype of `datatype`, C-contiguous, in the shape that the file has.

    Raises:
        InvalidRequest: it is no such file, or its values do not fit the datatype.
    """
    dtype, shape, is_fortran, start = _read_header(data, path)
    count = count_elements(shape, f"{path}.shape")
    content = memoryview(data)[start:]
    if count * dtype.itemsize != len(content):
        raise InvalidRequest(
            f"got {len(content)} bytes of elements, {dtype.str} {list(shape)} has"
            f" {count * dtype.itemsize}",
            path=path,
        )
    array = view(content, dtype, shape[::-1] if is_fortran else shape, path)
    if is_fortran:
        array = np.ascontiguousarray(array.T)
    return _converted(array, datatype, path)


def _read_header(data: bytes, path: str) -> tuple[np.dtype[np.generic], tuple[int, ...], bool, int]:
    """The dtype, the shape, whether columns come first, and where the elements begin."""
    size = _LENGTH_BYTES.get(data[6:8])
    if size is None or len(data) < 8 + size:
        raise InvalidRequest("the .npy file is of no known version", path=path)
    start = 8 + size + int.from_bytes(data[8 : 8 + size], "little")
    header = data[8 + size : start] if start <= 8 + size + _MAX_HEADER_BYTES else b""
    found = _HEADER.fullmatch(header)
    if found is None:
        raise InvalidRequest(
            "the .npy file's header is none that numpy writes for numbers or strings", path=path
        )
    descr, order, dims = found.groups()
    shape = tuple(int(dim) for dim in _DIMENSION.findall(dims))
    return _dtype(descr.decode(), path), shape, order == b"True", start


def _dtype(descr: str, path: str) -> np.dtype[np.generic]:
    try:
        dtype: np.dtype[np.generic] = np.dtype(descr)
    except TypeError as error:  # 5-byte integers
        raise InvalidRequest(f"got dtype {descr!r}, which numpy has not", path=path) from error
    if not dtype.itemsize:
        raise InvalidRequest(f"got dtype {descr!r}, whose elements are empty", path=path)
    return dtype


def _converted(array: Array, datatype: Datatype, path: str) -> Array:
    kind, dtype = array.dtype.kind, DTYPES[datatype]
    if datatype == "BYTES":
        return _strings(array, path)
    if kind == "b" and datatype == "BOOL":
        return np.not_equal(array.view(np.uint8), 0)  # a byte may be anything but 0 and 1
    if kind in "iuf" and datatype in _FLOATS:
        with np.errstate(over="ignore", invalid="ignore"):
            return np.require(array.astype(dtype, copy=False), requirements=["C", "A"])
    if kind in "iu" and datatype not in ("BOOL", *_FLOATS):
        return _integers(array, dtype, path)
    raise InvalidRequest(f"got {array.dtype.str}, the model wants {datatype}", path=path)


def _integers(array: Array, dtype: np.dtype[np.generic], path: str) -> Array:
    if array.size and not np.can_cast(array.dtype, dtype):
        bounds = np.iinfo(dtype.str)
        low, high = int(array.min()), int(array.max())
        if low < bounds.min or high > bounds.max:
            raise InvalidRequest(
                f"got {low} to {high}, the model's {dtype.name} ends at {bounds.min} and"
                f" {bounds.max}",
                path=path,
            )
    return np.require(array.astype(dtype, copy=False), requirements=["C", "A"])


def _strings(array: Array, path: str) -> Array:
    if array.dtype.kind not in "SU":
        raise InvalidRequest(f"got {array.dtype.str}, the model wants strings", path=path)
    if array.size > MAX_STRINGS:
        raise InvalidRequest(f"got {array.size} strings, at most {MAX_STRINGS} fit", path=path)
    try:
        found = [s if isinstance(s, bytes) else s.encode() for s in array.ravel().tolist()]
    except (UnicodeEncodeError, ValueError, SystemError) as error:
        # Lone surrogates; no code points at all, for which CPython has either of the other two.
        raise InvalidRequest("a string is no Unicode text", path=path) from error
    return objects(found, array.shape, path)
