"""How is one tensor of the Open Inference Protocol written in a REST body?

Either its elements are in the JSON part (`data`, flat or nested), or they follow it as raw bytes (the
binary tensor data extension: `parameters.binary_data_size` in the JSON part, the bytes after it, in the
tensors' order).

Rules:
- JSON values are taken strictly: no `1.0` for an integer, no `true` for a number, nothing out of range;
  a number beyond FP32 becomes infinite. BYTES elements are strings. FP16 and BF16 have no JSON form
  for callers, as at Triton; a server without the extension takes and gives them as numbers (`halves`),
  and one such server, MLServer, gives null for NaN.
- Nested `data` may have any regular shape with the right number of elements, as Triton takes it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import chain
from typing import Any

import numpy as np
import orjson

from gateway.codecs.elements import array_of
from gateway.codecs.json_text import array_text, seen
from gateway.codecs.oip_model import check_count, datatype_named
from gateway.codecs.oip_parameters import refuse_unsupported
from gateway.codecs.raw import RawBytes, decode_raw, raw_buffers
from gateway.errors import InvalidRequest
from gateway.tensors import DTYPES, MAX_RANK, Array, Datatype, Tensor

__all__ = ["TensorReader", "TensorWriter"]

_HALVES = frozenset(("FP16", "BF16"))
_FLOATS = frozenset(("FP32", "FP64"))
_INTEGERS = frozenset({int})
_NUMBERS = frozenset({int, float})

_KINDS: Mapping[str, tuple[frozenset[type], str]] = {
    "BOOL": (frozenset({bool}), "true or false"),
    "INT8": (_INTEGERS, "an integer"),
    "INT16": (_INTEGERS, "an integer"),
    "INT32": (_INTEGERS, "an integer"),
    "INT64": (_INTEGERS, "an integer"),
    "UINT8": (_INTEGERS, "an integer"),
    "UINT16": (_INTEGERS, "an integer"),
    "UINT32": (_INTEGERS, "an integer"),
    "UINT64": (_INTEGERS, "an integer"),
    "FP32": (_NUMBERS, "a number"),
    "FP64": (_NUMBERS, "a number"),
    "BYTES": (frozenset({str}), "a string"),
}


_NUMERIC = frozenset(_KINDS) - {"BOOL", "BYTES"}
"""`array_of` itself refuses whatever JSON can hold in place of their elements, but true and false. Where
the text has neither, looking at every element's type first would cost as much as reading them."""


class TensorReader:
    """Reads the tensors of one body, in order, taking each one's raw bytes from where they follow."""

    # Invariant: `_rest` begins with the bytes of the first binary tensor not read yet.
    __slots__ = ("_booleans", "_halves", "_model", "_rest", "_role")

    def __init__(
        self,
        role: str,
        model: str,
        rest: memoryview,
        *,
        halves: bool = False,
        booleans: bool = True,
    ) -> None:
        self._role = role  # "input" or "output", for errors
        self._booleans = booleans  # whether true or false may stand among the elements
        self._halves = halves  # whether FP16 and BF16 may be numbers
        self._model = model
        self._rest = rest

    def read_all(self, members: object) -> tuple[Tensor, ...]:
        """The tensors that a body's `inputs` or `outputs` and the bytes after the JSON part hold.

        Raises:
            InvalidRequest: what is written contradicts itself.
            Unsupported: a tensor in shared memory.
        """
        if not isinstance(members, list):
            raise InvalidRequest(
                f"got {seen(members)}, wanted a list of tensors", path=f"{self._role}s"
            )
        check_count(len(members), f"{self._role}s")
        tensors = tuple([self._read(member, index) for index, member in enumerate(members)])
        if self._rest:
            raise InvalidRequest(
                f"unexpected additional {self._role} data for model {self._model!r}:"
                f" {len(self._rest)} bytes belong to no tensor"
            )
        return tensors

    def _read(self, member: object, index: int) -> Tensor:
        path = f"{self._role}s[{index}]"
        if not isinstance(member, dict):
            raise InvalidRequest(f"got {seen(member)}, wanted an object", path=path)
        name = member.get("name")
        if not isinstance(name, str):
            raise InvalidRequest(f"got {seen(name)}, wanted a string", path=f"{path}.name")
        datatype = datatype_named(member.get("datatype"), path)
        shape = _shape(member.get("shape"), path)
        data = member.get("data")
        what = f"{self._role} {name!r} for model {self._model!r}"
        size = _binary_size(member.get("parameters"), path)
        if (data is None) is (size is None):
            raise InvalidRequest(
                f"{what} must have exactly one of 'data' and 'binary_data_size'", path=path
            )
        if size is None:
            listed: Datatype = "FP32" if self._halves and datatype in _HALVES else datatype
            if self._halves and listed in _FLOATS and isinstance(data, list):
                data = _with_nan(data)
            array = self._listed(data, listed, shape, what=what, path=path)
            if listed != datatype:
                array = _narrowed(array, datatype)
        else:
            blob = self._take(size, name, path)
            array = decode_raw(blob, datatype, shape, what=what, path=path)
        return Tensor(name, datatype, array)

    def _listed(
        self, data: object, datatype: Datatype, shape: tuple[int, ...], *, what: str, path: str
    ) -> Array:
        """The array of a tensor whose elements are in the JSON part."""
        values = _elements(data, datatype, what, path)
        if self._booleans or datatype not in _NUMERIC:
            values = _checked(values, datatype, what, path)
            return array_of(values, datatype, shape, what=what, path=path)
        try:
            return array_of(values, datatype, shape, what=what, path=path)
        except TypeError:
            _checked(values, datatype, what, path)
            raise

    def _take(self, size: int, name: str, path: str) -> memoryview:
        rest = self._rest
        if size > len(rest):
            raise InvalidRequest(
                f"unexpected size for {self._role} {name!r}, expecting {size - len(rest)}"
                " additional bytes",
                path=path,
            )
        self._rest = rest[size:]
        return rest[:size]


class TensorWriter:
    """Writes the tensors of one body, in order; `blobs` then follow the JSON part."""

    __slots__ = ("_halves", "_role", "blobs")

    def __init__(self, role: str, *, halves: bool = False) -> None:
        self._role = role  # "input" or "output", for errors
        self._halves = halves  # whether FP16 and BF16 may be numbers
        self.blobs: list[RawBytes] = []

    def binary(self, tensor: Tensor) -> dict[str, object]:
        """The JSON object of a tensor whose bytes follow."""
        buffers = raw_buffers(tensor)
        self.blobs += buffers
        return {
            "name": tensor.name,
            "datatype": tensor.datatype,
            "shape": tensor.shape,
            "parameters": {"binary_data_size": sum(map(len, buffers))},
        }

    def listed(self, tensor: Tensor, index: int) -> dict[str, object]:
        """The JSON object of a tensor with its elements in it, flat.

        Raises:
            InvalidRequest: the elements have no JSON form; the caller may ask for them as binary.
        """
        return {
            "name": tensor.name,
            "datatype": tensor.datatype,
            "shape": tensor.shape,
            "data": self._elements(tensor, f"{self._role}s[{index}]"),
        }

    def _elements(self, tensor: Tensor, path: str) -> orjson.Fragment | list[str]:
        if tensor.datatype in _HALVES and self._halves:
            return array_text(tensor.array.astype(np.float32))
        if tensor.datatype not in _KINDS:
            raise _no_json_form(tensor.datatype, f"{self._role} {tensor.name!r}", path)
        if tensor.datatype != "BYTES":
            return array_text(tensor.array)
        try:
            return [element.decode() for element in tensor.array.ravel().tolist()]
        except UnicodeDecodeError as error:
            raise InvalidRequest(
                f"{self._role} {tensor.name!r} has elements that are not UTF-8, which JSON cannot"
                " hold; use binary tensor data",
                path=path,
            ) from error


def _with_nan(data: list[Any]) -> list[Any]:
    """The same with NaN for null, which is how MLServer writes it; the elements of flat data only."""
    if None not in data:
        return data
    return [math.nan if value is None else value for value in data]


def _narrowed(array: Array, datatype: Datatype) -> Array:
    with np.errstate(over="ignore"):  # beyond the range: infinite, as everywhere
        return array.astype(DTYPES[datatype])


def _shape(value: object, path: str) -> tuple[int, ...]:
    if not isinstance(value, list) or not _INTEGERS.issuperset(map(type, value)):
        raise InvalidRequest(f"got {seen(value)}, wanted a list of integers", path=f"{path}.shape")
    return tuple(value)


def _binary_size(parameters: object, path: str) -> int | None:
    if parameters is None:
        return None
    if not isinstance(parameters, dict):
        raise InvalidRequest(f"got {seen(parameters)}, wanted an object", path=f"{path}.parameters")
    refuse_unsupported(parameters, path)
    size = parameters.get("binary_data_size")
    if size is None:
        return None
    if type(size) is not int or size < 0:
        raise InvalidRequest(
            f"got {seen(size)}, wanted a number of bytes",
            path=f"{path}.parameters.binary_data_size",
        )
    return size


def _elements(data: object, datatype: Datatype, what: str, path: str) -> list[Any]:
    if datatype not in _KINDS:
        raise _no_json_form(datatype, what, path)
    if not isinstance(data, list):
        raise InvalidRequest(f"got {seen(data)}, wanted a list", path=f"{path}.data")
    return _flat(data, path) if data and type(data[0]) is list else data


def _checked(values: list[Any], datatype: Datatype, what: str, path: str) -> list[Any]:
    kinds, wanted = _KINDS[datatype]
    if not kinds.issuperset(map(type, values)):
        index, value = next((i, v) for i, v in enumerate(values) if type(v) not in kinds)
        raise InvalidRequest(
            f"got {seen(value)}, {datatype} wants {wanted} for {what}", path=f"{path}.data[{index}]"
        )
    return [value.encode() for value in values] if datatype == "BYTES" else values


def _flat(data: list[Any], path: str) -> list[Any]:
    for _ in range(MAX_RANK):
        if not data or type(data[0]) is not list:
            return data
        if any(type(part) is not list or len(part) != len(data[0]) for part in data):
            raise InvalidRequest(
                "the lists are ragged: those of one level must have one length", path=f"{path}.data"
            )
        data = list(chain.from_iterable(data))
    raise InvalidRequest(f"nested more than {MAX_RANK} levels deep", path=f"{path}.data")


def _no_json_form(datatype: Datatype, what: str, path: str) -> InvalidRequest:
    return InvalidRequest(
        f"{datatype} has no JSON form, use binary tensor data for {what}", path=f"{path}.datatype"
    )
