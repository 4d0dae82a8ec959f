"""Which arrays do the values of a predict body make, if they are clean?

Converts as fast as numpy can while refusing everything that is not certainly right. It gives no reasons:
None means "look again, slowly", which is what `tfs_json_explain` does.

What is accepted (TF Serving's table, but for FP16, BF16 and UINT16: `is_clean` knows that TF Serving
answers "unimplemented" to them, and a request for such a model is refused as there):

    FP64 FP32 FP16 BF16     any number; beyond the range becomes infinite
    integers                a number written without point or exponent, within the range of the type
    BOOL                    true, false
    BYTES                   a string, or {"b64": "…"}

One deliberate difference: TF Serving checks INT8, UINT8 and INT16 for the range of int32 only and lets
them wrap around, so that 300 becomes 44; here that is an error.
"""

from __future__ import annotations

import binascii
import contextvars
import re
from collections.abc import Mapping
from typing import cast

import numpy as np

from gateway.tensors import DTYPES, MAX_RANK, Array, Datatype, Tensor, TensorSpec

__all__ = [
    "base64_bytes",
    "is_base64",
    "is_clean",
    "is_in_json",
    "read_columns",
    "read_rows",
    "shape_of",
]

_IN_JSON = DTYPES.keys() - {"FP16", "BF16", "UINT16"}
_FLOATS = frozenset(("FP16", "BF16", "FP32", "FP64"))
_FP64 = np.dtype(np.float64)
_BOUNDS: Mapping[Datatype, tuple[int, int]] = {
    "INT8": (-(2**7), 2**7 - 1),
    "INT16": (-(2**15), 2**15 - 1),
    "INT32": (-(2**31), 2**31 - 1),
    "INT64": (-(2**63), 2**63 - 1),
    "UINT8": (0, 2**8 - 1),
    "UINT16": (0, 2**16 - 1),
    "UINT32": (0, 2**32 - 1),
    "UINT64": (0, 2**64 - 1),
}
_NUMBERS = frozenset((*_FLOATS, *_BOUNDS))
# A context in which numpy makes what is too large infinite without a warning, as TF Serving does.
# numpy keeps that setting in a context variable, and its own `errstate` costs five times as much.
_QUIET = contextvars.copy_context()
_QUIET.run(np.seterr, over="ignore")
_BASE64 = re.compile(r"([A-Za-z0-9+/]*)(={0,2})")
_SPACE_AND_DOTS = {ord(space): None for space in " \t\n\v\f\r"} | {ord("."): "="}


def read_rows(
    rows: list[object], specs: Mapping[str, TensorSpec], *, named: bool, only_numbers: bool
) -> tuple[Tensor, ...] | None:
    """One tensor `[len(rows), …]` for every spec, or None where a row is not clean.

    Args:
        rows: Plain values of the only input, or (`named`) objects with a value for every input.
        specs: The model's inputs.
        named: Which of the two the rows are.
        only_numbers: Whether every leaf is known to be a number, so that numpy cannot mistake `true`
            or a string for one.
    """
    if not named:
        (spec,) = specs.values()
        array = read_array(rows, spec.datatype, only_numbers=only_numbers)
        return None if array is None else (Tensor(spec.name, spec.datatype, array),)
    for row in rows:
        if not isinstance(row, dict) or row.keys() != specs.keys():
            return None
    objects = cast("list[dict[str, object]]", rows)
    columns = {name: [row[name] for row in objects] for name in specs}
    return read_columns(columns, specs, only_numbers=only_numbers)


def read_columns(
    columns: Mapping[str, object], specs: Mapping[str, TensorSpec], *, only_numbers: bool
) -> tuple[Tensor, ...] | None:
    """One tensor for every spec, shaped as its value is nested, or None where one is not clean."""
    tensors = []
    for name, spec in specs.items():
        array = read_array(columns[name], spec.datatype, only_numbers=only_numbers)
        if array is None:
            return None
        tensors.append(Tensor(name, spec.datatype, array))
    return tuple(tensors)


def read_array(value: object, datatype: Datatype, *, only_numbers: bool) -> Array | None:
    """The array that nested lists make, or None where a leaf is not clean."""
    array = None
    if only_numbers and datatype in _NUMBERS:
        array = _read_numbers(value, datatype)
    if array is None and datatype in DTYPES:  # a signature that was left out may have others
        array = _read_leaves(value, datatype)
    return array


def is_base64(value: object) -> bool:
    """Whether a value has the form `{"b64": "…"}`, which stands for one string."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def is_in_json(datatype: str) -> bool:
    """Whether TF Serving reads this datatype in JSON at all; its answers may hold those it does not."""
    return datatype in _IN_JSON


def is_clean(leaf: object, datatype: Datatype) -> bool:
    """Whether one value, not a list, can be an element of this datatype."""
    if datatype not in _IN_JSON:
        return False
    if datatype == "BYTES":
        return isinstance(leaf, str) or base64_bytes(leaf) is not None
    if isinstance(leaf, bool) or datatype == "BOOL":
        return isinstance(leaf, bool) and datatype == "BOOL"
    if datatype in _FLOATS:
        return isinstance(leaf, (int, float))
    low, high = _BOUNDS[datatype]
    return isinstance(leaf, int) and low <= leaf <= high


def shape_of(value: object) -> tuple[int, ...]:
    """The shape that the first elements suggest; at most one dimension more than allowed."""
    shape: list[int] = []
    while isinstance(value, list) and len(shape) <= MAX_RANK:
        shape.append(len(value))
        value = value[0] if value else None
    return tuple(shape)


def _read_numbers(value: object, datatype: Datatype) -> Array | None:
    try:
        found: Array = np.array(value)
    except (ValueError, TypeError, OverflowError):  # ragged, or nested deeper than numpy takes
        return None
    if found.dtype is _FP64 and datatype in _FLOATS and found.size > 0 and found.ndim <= MAX_RANK:
        return _cast_floats(found, DTYPES[datatype])
    return _cast(found, datatype) if found.ndim <= MAX_RANK else None


def _read_leaves(value: object, datatype: Datatype) -> Array | None:
    shape = shape_of(value)
    leaves = _leaves(value, shape) if len(shape) <= MAX_RANK else None
    flat = None if leaves is None else _flat_array(leaves, datatype)
    return None if flat is None else flat.reshape(shape)


def _leaves(value: object, shape: tuple[int, ...]) -> list[object] | None:
    """Everything below `len(shape)` lists, in order; None where a list is missing or of another size."""
    level = [value]
    for size in shape:
        below: list[object] = []
        for element in level:
            if not isinstance(element, list) or len(element) != size:
                return None
            below.extend(element)
        level = below
    return level


def _flat_array(leaves: list[object], datatype: Datatype) -> Array | None:
    types = set(map(type, leaves))
    if datatype == "BYTES":
        return _strings(leaves) if types <= {str, dict} else None
    if datatype == "BOOL":
        return np.array(leaves, np.bool_) if types <= {bool} else None
    if datatype in _FLOATS:
        return _cast(np.array(leaves, np.float64), datatype) if types <= {int, float} else None
    return _integers(leaves, datatype) if types <= {int} else None


def _cast(found: Array, datatype: Datatype) -> Array | None:
    """Numbers as the model wants them; None where an integer type would lose something."""
    dtype = DTYPES[datatype]
    if not found.size:
        return np.empty(found.shape, dtype)
    if found.dtype.kind not in ("fiu" if datatype in _FLOATS else "iu"):
        return None
    if datatype in _FLOATS:  # integers too by way of a double, as TF Serving
        return _cast_floats(found.astype(_FP64, copy=False), dtype)
    low, high = _BOUNDS[datatype]
    fits = int(found.min()) >= low and int(found.max()) <= high
    return found.astype(dtype, copy=False) if fits else None


def _integers(leaves: list[object], datatype: Datatype) -> Array | None:
    try:
        return np.array(leaves, DTYPES[datatype])
    except OverflowError:  # out of range
        return None


def _cast_floats(found: Array, dtype: np.dtype[np.generic]) -> Array:
    cast_: Array = _QUIET.copy().run(found.astype, dtype, copy=False)
    return cast_


def _strings(leaves: list[object]) -> Array | None:
    strings = []
    for leaf in leaves:
        text = (
            leaf.encode("utf-8", "surrogateescape") if isinstance(leaf, str) else base64_bytes(leaf)
        )
        if text is None:
            return None
        strings.append(text)
    array: Array = np.empty(len(strings), np.object_)
    array[:] = strings
    return array


def base64_bytes(value: object) -> bytes | None:
    """The bytes of `{"b64": …}`: white space is skipped, padding may be missing or made of dots."""
    if not is_base64(value):
        return None
    text = cast("dict[str, str]", value)["b64"]
    match = _BASE64.fullmatch(text) or _BASE64.fullmatch(text.translate(_SPACE_AND_DOTS))
    if match is None:
        return None
    digits, padding = match.groups()
    missing = -len(digits) % 4
    if missing == 3 or len(padding) not in (0, missing):  # noqa: PLR2004 - one digit is no byte
        return None
    return binascii.a2b_base64(digits + "=" * missing)
