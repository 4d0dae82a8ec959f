"""What does TF Serving say of the values of a predict body that make no tensor?

Walks the values element by element, in TF Serving's order, and raises its own sentence for the first one
that is wrong. Called only for values that `tfs_json_read` has refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NoReturn, cast

from gateway.codecs.tfs_json_read import is_base64, is_clean, is_in_json, shape_of
from gateway.codecs.tfs_json_text import quote, type_name
from gateway.errors import InvalidRequest, Unsupported
from gateway.tensors import MAX_RANK, Datatype, TensorSpec

__all__ = ["explain_columns", "explain_rows"]

_TF_NAMES: Mapping[Datatype, str] = {
    "FP16": "half",
    "BF16": "bfloat16",
    "FP32": "float",
    "FP64": "double",
    "BYTES": "string",
}  # the others are Tandem's in lower case


def explain_columns(columns: Mapping[str, object], specs: Mapping[str, TensorSpec]) -> NoReturn:
    """Say what is wrong with values that are whole columns.

    Raises:
        InvalidRequest, Unsupported: always one of them.
    """
    for name, spec in specs.items():
        _Walk(spec.datatype, columns[name]).check()
    _refuse_depth(specs)


def explain_rows(rows: list[object], specs: Mapping[str, TensorSpec], *, named: bool) -> NoReturn:
    """Say what is wrong with rows that are plain values or (`named`) objects.

    Raises:
        InvalidRequest, Unsupported: always one of them.
    """
    first: dict[str, _Walk] = {}
    for index, row in enumerate(rows):
        if named != (isinstance(row, dict) and not is_base64(row)):
            wanted = "object but got list" if named else "value/list but got object"
            raise InvalidRequest(f"Expecting {wanted} at item {index} of input list")
        fields = cast("dict[str, object]", row) if named else dict.fromkeys(specs, row)
        for name, value in fields.items():
            place = f"{index} key: {name}" if named else str(index)
            _check_field(specs.get(name), name, value, first, place=place)
        if fields.keys() != specs.keys():
            raise InvalidRequest(
                f"Failed to process element: {index} of 'instances' list. JSON object: "
                f"{quote(row)} keys must be equal to: {','.join(sorted(specs))}"
            )
    _refuse_depth(specs)


def _check_field(
    spec: TensorSpec | None, name: str, value: object, first: dict[str, _Walk], *, place: str
) -> None:
    """Check one value of one row, and that it has the shape of the same value in the first row."""
    try:
        walk = _walk_of(spec, name, value)
        walk.check()
        walk.compare(first.setdefault(name, walk))
    except (InvalidRequest, Unsupported) as exc:
        raise InvalidRequest(
            f"Failed to process element: {place} of 'instances' list. "
            f"Error: {exc.grpc_code}: {exc.message}"
        ) from exc


def _walk_of(spec: TensorSpec | None, name: str, value: object) -> _Walk:
    if spec is None:
        raise InvalidRequest(f"JSON object: does not have named input: {name}")
    return _Walk(spec.datatype, value)


def _refuse_depth(specs: Iterable[str]) -> NoReturn:
    # TF Serving finds this when it makes the tensor, beyond 254 levels; the first words are its own.
    raise InvalidRequest(
        f"tensor parsing error: {','.join(specs)}",
        hint=f"got lists nested deeper than {MAX_RANK} levels",
    )


class _Walk:
    """One value against the shape that its first elements suggest; `count` is of leaves, once checked."""

    __slots__ = ("_datatype", "_value", "count", "shape")

    def __init__(self, datatype: Datatype, value: object) -> None:
        self._datatype = datatype
        self._value = value
        self.shape = shape_of(value)
        self.count = 0

    def check(self) -> None:
        """Raise InvalidRequest at the first thing that is wrong; a value too deep is not looked at."""
        if len(self.shape) <= MAX_RANK:
            self._check(self._value, 0)

    def compare(self, wanted: _Walk) -> None:
        """Raise InvalidRequest unless this value has the size and shape of `wanted`."""
        if self.count != wanted.count:
            raise InvalidRequest(f"Expecting tensor size: {wanted.count} but got: {self.count}")
        if self.shape != wanted.shape:
            got, want = (str(list(walk.shape)).replace(" ", "") for walk in (self, wanted))
            raise InvalidRequest(f"Expecting shape {want} but got: {got}")

    def _check(self, value: object, level: int) -> None:
        if not isinstance(value, list):
            self._check_leaf(value, level)
            self.count += 1
            return
        if level >= len(self.shape):
            raise InvalidRequest(
                f"Encountered list at unexpected level: {level} expected < {len(self.shape)}"
            )
        if len(value) != self.shape[level]:
            raise InvalidRequest(
                f"Encountered list at unexpected size: {len(value)} at level: {level}"
                f" expected size: {self.shape[level]}"
            )
        for element in value:
            self._check(element, level + 1)

    def _check_leaf(self, value: object, level: int) -> None:
        if level != len(self.shape):
            raise InvalidRequest(
                f"JSON Value: {quote(value)} found at incorrect level: {level + 1}"
                f" in the JSON DOM. Expected at level: {len(self.shape)}"
            )
        if is_clean(value, self._datatype):
            return
        expected = _TF_NAMES.get(self._datatype, self._datatype.lower())
        if not is_in_json(self._datatype) and not isinstance(value, dict):
            raise Unsupported(f"Conversion of JSON Value: {quote(value)} to type: {expected}")
        if self._datatype == "BYTES" and is_base64(value):
            raise InvalidRequest("Unable to base64 decode")
        if self._datatype == "BYTES" and isinstance(value, dict):
            raise InvalidRequest(
                f"JSON Value: {quote(value)} not formatted correctly for base64 data"
            )
        raise InvalidRequest(
            f"JSON Value: {quote(value)} Type: {type_name(value)}"
            f" is not of expected type: {expected}"
        )
