"""What is a tensor, on its way between two wires?

One canonical form: a name, a datatype of the Open Inference Protocol, and a numpy array. Codecs make
arrays as views of the bytes that arrived wherever the wire format allows it.

Rules:
- numpy has no bfloat16 of its own; BF16 travels as `ml_dtypes.bfloat16`.
- BYTES is an object array whose elements are all `bytes`.
- An array is always C-contiguous and little-endian when it leaves a codec.
- `-1` in a spec's shape is a dynamic dimension; a spec's shape of None is an unknown rank.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, cast

import ml_dtypes
import numpy as np
import numpy.typing as npt

from gateway.errors import InvalidRequest
from gateway.misfits import DoesNotFit, Misfit
from gateway.sequences import SequenceSpec
from gateway.values import value_class

__all__ = [
    "DTYPES",
    "Array",
    "Datatype",
    "JoinedTensor",
    "Signature",
    "Tensor",
    "TensorSpec",
    "check_inputs",
    "datatype_of",
    "rows_of",
]

Datatype: TypeAlias = Literal[
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64",
    "FP16", "BF16", "FP32", "FP64", "BYTES",
]  # fmt: skip

Array: TypeAlias = npt.NDArray[np.generic]

DTYPES: Mapping[Datatype, np.dtype[np.generic]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "BYTES": np.dtype(np.object_),
}

_DATATYPES: Mapping[np.dtype[np.generic], Datatype] = {v: k for k, v in DTYPES.items()}

MAX_RANK = 32  # numpy 2 allows 64; no model served over these protocols has come near


def datatype_of(array: Array) -> Datatype:
    """The datatype name of an array's dtype; KeyError for a dtype outside the protocol."""
    return _DATATYPES[array.dtype]


@value_class()
class Tensor:
    """A named array. `array` has the dtype `DTYPES[datatype]` and any shape, `[]` included."""

    name: str
    datatype: Datatype
    array: Array

    @property
    def shape(self) -> tuple[int, ...]:
        """The dimensions, `()` for a scalar."""
        return cast("tuple[int, ...]", self.array.shape)


class JoinedTensor(Tensor):
    """A tensor whose rows are still where they arrived, in several arrays.

    Who writes it down takes them one after the other (`parts`), so that large ones are copied once. For
    everybody else it has an `array` like any other, made when it is first asked for.

    Attributes:
        parts: `[rows, …]` each, C-contiguous, alike but for their rows.
    """

    __slots__ = ("_array", "parts")

    def __init__(self, name: str, datatype: Datatype, parts: Sequence[Array]) -> None:
        # Not by Tensor's own, which would set the array.
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "datatype", datatype)
        self.parts = parts
        self._array: Array | None = None

    @property
    def array(self) -> Array:
        """`[sum of rows, …]`."""
        if self._array is None:
            self._array = np.concatenate(self.parts)
        return self._array

    @property
    def shape(self) -> tuple[int, ...]:
        """The dimensions of the whole."""
        return (sum([part.shape[0] for part in self.parts]), *self.parts[0].shape[1:])


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """What a model declares of one input or output. `shape`: -1 is dynamic, None an unknown rank."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...] | None

    @property
    def has_rows(self) -> bool:
        """Whether dim 0 is a dynamic batch dimension, so that requests can share a batch."""
        return bool(self.shape) and self.shape is not None and self.shape[0] == -1

    def accepts_shape(self, shape: tuple[int, ...]) -> bool:
        """Whether a tensor of this shape fits: same rank, and equal wherever the spec is fixed."""
        if self.shape is None:
            return True
        return len(shape) == len(self.shape) and all(
            want in (-1, got) for got, want in zip(shape, self.shape, strict=True)
        )

    def describe_shape(self) -> str:
        """The wanted shape for an error message: `[rows, 4]`, `[rows, *]`, `any rank`."""
        if self.shape is None:
            return "any rank"
        dims = ["*" if d == -1 else str(d) for d in self.shape]
        if self.has_rows:
            dims[0] = "rows"
        return f"[{', '.join(dims)}]"


@dataclass(frozen=True, slots=True)
class Signature:
    """The inputs and outputs of one callable of one model version, in the backend's order.

    Attributes:
        is_whole: Whether a request must reach the backend as it is: its dynamic dim 0, if it has one, is not
            known to be rows.
        sequence: How requests of different lengths may share a batch, None if they may not.
        is_batchable: Whether every input and output has rows (a dynamic dim 0, unless it is whole): only
            then may requests be joined. Computed once, because every request asks.
    """

    name: str
    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    method: str = ""  # TF Serving's method_name, "" elsewhere
    is_whole: bool = False
    sequence: SequenceSpec | None = None
    is_batchable: bool = field(init=False, compare=False)

    def __post_init__(self) -> None:
        specs = (*self.inputs.values(), *self.outputs.values())
        joinable = bool(self.inputs) and not self.is_whole
        batchable = joinable and all(spec.has_rows for spec in specs)
        object.__setattr__(self, "is_batchable", batchable)


def check_inputs(model: str, signature: Signature, inputs: tuple[Tensor, ...]) -> int:
    """Check the inputs against the signature and return their rows (1 if it has no batch dimension).

    Raises:
        InvalidRequest: the caller's fault; names the input, what was got and what the model wants.
    """
    _check_names(model, signature, inputs)
    for index, tensor in enumerate(inputs):
        _check_tensor(model, signature.inputs[tensor.name], tensor, index)
    return rows_of(signature, inputs)


def rows_of(signature: Signature, inputs: tuple[Tensor, ...]) -> int:
    """The rows of inputs that fit the signature (1 if it has no batch dimension).

    Raises:
        InvalidRequest: the caller's fault; the inputs differ in their rows.
    """
    if not signature.is_batchable:
        return 1
    return inputs[0].array.shape[0] if len(inputs) == 1 else _common_rows(inputs)


def _check_names(model: str, signature: Signature, inputs: tuple[Tensor, ...]) -> None:
    got = [tensor.name for tensor in inputs]
    if len(set(got)) != len(got):
        first = next(name for index, name in enumerate(got) if name in got[:index])
        raise DoesNotFit(
            f"an input is given twice: got {got}",
            Misfit(aspect="repeated", model=model, name=first),
            path="inputs",
        )
    if set(got) == set(signature.inputs):
        return
    missing = sorted(set(signature.inputs) - set(got))
    unknown = sorted(set(got) - set(signature.inputs))
    wanted = sorted(signature.inputs)
    raise DoesNotFit(
        f"got inputs {got}, model {model} wants {wanted}; missing {missing}, unknown {unknown}",
        Misfit(aspect="inputs", model=model, got=tuple(got), wanted=tuple(signature.inputs)),
        path="inputs",
    )


def _check_tensor(model: str, spec: TensorSpec, tensor: Tensor, index: int) -> None:
    name, got, wanted = spec.name, tensor.datatype, spec.datatype
    if got != wanted:
        raise DoesNotFit(
            f"got {got}, model {model} wants {wanted} for input {name!r}",
            Misfit(aspect="datatype", model=model, name=name, got=(got,), wanted=(wanted,)),
            path=f"inputs[{index}].datatype",
        )
    shape = tensor.shape
    if not spec.accepts_shape(shape):
        raise DoesNotFit(
            f"got {list(shape)}, model {model} wants {spec.describe_shape()} for input {name!r}",
            Misfit(aspect="shape", model=model, name=name, got=shape, wanted=spec.shape or ()),
            path=f"inputs[{index}].shape",
        )


def _common_rows(inputs: tuple[Tensor, ...]) -> int:
    rows = inputs[0].shape[0]
    for index, tensor in enumerate(inputs):
        got = tensor.shape[0]
        if got != rows:
            raise DoesNotFit(
                f"got {got} rows in {tensor.name!r}, but {rows} in {inputs[0].name!r}",
                Misfit(aspect="rows", name=tensor.name, got=(got,), wanted=(rows,)),
                path=f"inputs[{index}].shape",
            )
    return rows


def count_elements(shape: tuple[int, ...], path: str) -> int:
    """The product of a wire shape, with Python's integers, checked before any memory is taken.

    Raises:
        InvalidRequest: a negative dimension, or more than `MAX_RANK` dimensions.
    """
    if len(shape) > MAX_RANK:
        raise InvalidRequest(
            f"got {len(shape)} dimensions, at most {MAX_RANK} are taken", path=path
        )
    if any(dim < 0 for dim in shape):
        raise InvalidRequest(f"got {list(shape)}, dimensions must not be negative", path=path)
    return math.prod(shape)
