"""Tensors, requests and responses of every kind, for the properties of the codecs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import strategies as st

from gateway.messages import InferRequest, InferResponse, Parameter
from gateway.tensors import DTYPES, Array, Datatype, Tensor

LISTED: tuple[Datatype, ...] = tuple(d for d in DTYPES if d not in {"FP16", "BF16"})
"""The datatypes that can be written one element at a time."""

names = st.text(max_size=12)

shapes = st.lists(st.integers(0, 4), max_size=4).map(tuple)

# What JSON and protobuf both keep: 64 bits, and no NaN, which equals nothing.
parameters = st.dictionaries(
    st.text(max_size=8).filter(lambda name: not name.startswith(("triton_", "binary_data"))),
    st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=8),
    max_size=3,
)


@st.composite
def arrays(draw: st.DrawFn, datatype: Datatype, *, text: bool = False) -> Array:
    """An array of any bit pattern; `text`: BYTES elements are UTF-8."""
    shape = draw(shapes)
    count = math.prod(shape)
    if datatype == "BYTES":
        element = st.text(max_size=6).map(str.encode) if text else st.binary(max_size=6)
        elements = draw(st.lists(element, min_size=count, max_size=count))
        return np.array(elements, dtype=np.object_).reshape(shape)
    if datatype == "BOOL":
        truths = draw(st.lists(st.booleans(), min_size=count, max_size=count))
        return np.array(truths, np.bool_).reshape(shape)
    size = count * DTYPES[datatype].itemsize
    data = draw(st.binary(min_size=size, max_size=size))
    return np.frombuffer(data, DTYPES[datatype]).reshape(shape)


@st.composite
def tensors(
    draw: st.DrawFn, datatypes: tuple[Datatype, ...] = tuple(DTYPES), *, text: bool = False
) -> Tensor:
    """A tensor of any of `datatypes`."""
    datatype = draw(st.sampled_from(datatypes))
    return Tensor(draw(names), datatype, draw(arrays(datatype, text=text)))


@st.composite
def requests(
    draw: st.DrawFn, datatypes: tuple[Datatype, ...] = tuple(DTYPES), *, text: bool = False
) -> InferRequest:
    """A request as the Open Inference Protocol can carry it."""
    return InferRequest(
        model=draw(names),
        version=draw(st.none() | st.text(min_size=1, max_size=5)),
        inputs=tuple(draw(st.lists(tensors(datatypes, text=text), max_size=3))),
        outputs=tuple(draw(st.lists(names, max_size=3, unique=True))),
        id=draw(names),
        parameters=draw(parameters),
    )


@st.composite
def responses(
    draw: st.DrawFn, datatypes: tuple[Datatype, ...] = tuple(DTYPES), *, text: bool = False
) -> InferResponse:
    """A response as the Open Inference Protocol can carry it; each output has its own name."""
    outputs = st.lists(tensors(datatypes, text=text), max_size=3, unique_by=lambda t: t.name)
    return InferResponse(
        model=draw(names),
        version=draw(names),
        outputs=tuple(draw(outputs)),
        id=draw(names),
        parameters=draw(parameters),
    )


def same_bits(left: Tensor, right: Tensor) -> bool:
    """Whether two tensors are equal bit by bit, NaNs and zeros' signs included."""
    return _labels(left) == _labels(right) and (
        left.array.tolist() == right.array.tolist()
        if left.datatype == "BYTES"
        else left.array.tobytes() == right.array.tobytes()
    )


def same_numbers(left: Tensor, right: Tensor) -> bool:
    """As `same_bits`, but any NaN equals any other: JSON knows only one."""
    if not left.datatype.startswith("FP"):
        return same_bits(left, right)
    return (
        _labels(left) == _labels(right)
        and np.array_equal(left.array, right.array, equal_nan=True)
        and bool(np.all(_negative(left.array) == _negative(right.array)))
    )


def _labels(tensor: Tensor) -> tuple[object, ...]:
    return tensor.name, tensor.datatype, tensor.shape, tensor.array.dtype


def _negative(array: Any) -> Any:
    return np.signbit(array) & ~np.isnan(array)


def typed(value: Parameter) -> tuple[type, Parameter]:
    """A parameter that 1, 1.0 and true do not make equal."""
    return type(value), value
