"""How are long lists of numbers in a predict body of TF Serving's read at little cost?

As whole arrays, where the body is that and nothing unusual: see `json_numbers`. None, where it is given, means
that the body is read as any other is, by `tfs_json`: no errors come from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
import orjson

from gateway.codecs.json_numbers import LONG_BYTES, CutText, Numbers, cut
from gateway.codecs.tfs_json_read import is_in_json
from gateway.codecs.tfs_json_write import Form
from gateway.tensors import Array, Signature, Tensor, TensorSpec

__all__ = ["NumbersBody", "parse_numbers"]

_Value: TypeAlias = "Numbers | list[Numbers]"  # of one input: all of it, or row by row


class NumbersBody:
    """A predict body whose JSON is sound, and whose inputs are numbers and nothing else.

    Attributes:
        signature_name: "" for the default one.
        form: How the inputs are given, and so how the answer is.
    """

    __slots__ = ("_values", "form", "signature_name")

    def __init__(
        self, signature_name: str, form: Form, values: Numbers | Mapping[str, _Value]
    ) -> None:
        self.signature_name = signature_name
        self.form = form
        self._values = values

    def inputs(self, signature: Signature) -> tuple[Tensor, ...] | None:
        """What `tfs_json.decode_inputs` makes of the body; None if one must look closer."""
        specs, values = signature.inputs, self._values
        if isinstance(values, Numbers):
            values = dict.fromkeys(specs, values) if len(specs) == 1 else {}
        elif self.form == "row" and values.keys() != specs.keys():
            return None
        tensors = []
        for name, spec in specs.items():
            array = _array_of(values.get(name), spec)
            if array is None:
                return None
            tensors.append(Tensor(name, spec.datatype, array))
        return tuple(tensors) or None


def parse_numbers(body: bytes, *, quick: bool = False) -> NumbersBody | None:
    """The body, if it is long lists of numbers; None if it is something else, or faulty.

    With `quick`, it is None for all that takes longer than about 20 nanoseconds a byte, as well.
    """
    parts = cut(body, quick=quick) if len(body) >= LONG_BYTES else None
    if parts is None:
        return None
    try:
        document = orjson.loads(parts.text)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(document, dict) or ("instances" in document) is ("inputs" in document):
        return None
    signature_name = document.get("signature_name", "")
    form: Form = "row" if "instances" in document else "columnar"
    said = document.get("instances", document.get("inputs"))
    found = _rows(said, parts) if form == "row" else _columns(said, parts)
    # All lists are where they belong, and no key was lost because it stood there twice.
    if found is None or parts.left or not isinstance(signature_name, str):
        return None
    values, keys = found
    if parts.text.count(b":") != len(document) + keys:
        return None
    return NumbersBody(signature_name, form, values)


_Found: TypeAlias = "tuple[Numbers | dict[str, _Value], int] | None"  # and how many keys it has


def _columns(said: object, parts: CutText) -> _Found:
    if not isinstance(said, dict):
        only = parts.take(said)
        return None if only is None else (only, 0)
    columns: dict[str, _Value] = {}
    for name, value in said.items():
        numbers = parts.take(value)
        if numbers is None:
            return None
        columns[name] = numbers
    return columns, len(columns)


def _rows(said: object, parts: CutText) -> _Found:
    if not isinstance(said, list):
        only = parts.take(said)
        return None if only is None else (only, 0)
    columns: dict[str, list[Numbers]] = {}
    for row in said:
        if not isinstance(row, dict):
            return None
        for name, value in row.items():
            numbers = parts.take(value)
            if numbers is None:
                return None
            columns.setdefault(name, []).append(numbers)
    if any(len(column) != len(said) for column in columns.values()):
        return None
    return dict(columns), len(columns) * len(said)


def _array_of(value: _Value | None, spec: TensorSpec) -> Array | None:
    if value is None or not is_in_json(spec.datatype):
        return None
    if isinstance(value, Numbers):
        return value.as_type(spec.datatype)
    arrays = [numbers.as_type(spec.datatype) for numbers in value]
    known = [array for array in arrays if array is not None]
    if len(known) < len(arrays) or len({array.shape for array in known}) != 1:
        return None
    return np.stack(known)
