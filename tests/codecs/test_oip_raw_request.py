"""A body without JSON: the signature says what its bytes are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.codecs.oip_raw_request import decode_raw_request
from gateway.errors import GatewayError, InvalidRequest
from gateway.tensors import DTYPES, Datatype, Signature, TensorSpec

ANY_BYTES = st.binary(max_size=64)
SHAPES = st.none() | st.lists(st.sampled_from([-1, 0, 1, 2, 3]), max_size=4).map(tuple)


def signature(datatype: Datatype, shape: tuple[int, ...] | None, inputs: int = 1) -> Signature:
    specs = [TensorSpec(f"x{i}", datatype, shape) for i in range(inputs)]
    return Signature("s", {spec.name: spec for spec in specs}, {})


def shape_of(body: bytes, datatype: Datatype, shape: tuple[int, ...] | None) -> tuple[int, ...]:
    request = decode_raw_request(body, signature(datatype, shape), model="m", version=None)
    return request.inputs[0].shape


@pytest.mark.parametrize(
    ("datatype", "declared", "size", "shape"),
    [
        ("FP32", (-1, 4), 16, (1, 4)),
        ("FP32", (-1, -1), 12, (1, 3)),
        ("FP32", (-1, 2, -1), 24, (1, 2, 3)),
        ("INT8", (2, -1), 6, (2, 3)),
        ("FP64", (3,), 24, (3,)),
        ("FP64", (), 8, ()),
        ("BF16", (-1,), 2, (1,)),
        ("BYTES", (-1, 1), 5, (1, 1)),
        ("BYTES", (-1,), 0, (1,)),
        ("BYTES", None, 5, (1,)),
    ],
)
def test_the_shape_follows_from_the_size(
    datatype: Datatype, declared: tuple[int, ...] | None, size: int, shape: tuple[int, ...]
) -> None:
    assert shape_of(bytes(size), datatype, declared) == shape


@pytest.mark.parametrize(
    ("datatype", "declared", "size"),
    [
        ("FP32", (-1, 4), 32),  # one row, and no more
        ("FP32", (-1, -1), 13),
        ("FP32", (-1, -1, -1), 12),
        ("FP32", None, 12),
        ("BYTES", (-1, 2), 5),
    ],
)
def test_what_does_not_follow_is_refused(
    datatype: Datatype, declared: tuple[int, ...] | None, size: int
) -> None:
    with pytest.raises(InvalidRequest):
        shape_of(bytes(size), datatype, declared)


@pytest.mark.parametrize("inputs", [0, 2])
def test_it_is_for_models_with_one_input(inputs: int) -> None:
    with pytest.raises(InvalidRequest, match=f"has {inputs}"):
        decode_raw_request(b"", signature("FP32", (-1,), inputs), model="m", version=None)


@example(b"", "BYTES", ())
@given(ANY_BYTES, st.sampled_from(sorted(DTYPES)), SHAPES)
def test_any_bytes_make_the_declared_tensor_or_an_error(
    body: bytes, datatype: Datatype, shape: tuple[int, ...] | None
) -> None:
    """And never another exception, or a tensor that is not the body; of a view of them, too."""
    declared = signature(datatype, shape)
    try:
        request = decode_raw_request(memoryview(body), declared, model="m", version="1")
    except GatewayError:
        return
    (tensor,) = request.inputs
    assert declared.inputs["x0"].accepts_shape(tensor.shape)
    if datatype == "BYTES":
        assert tensor.array.ravel().tolist() == [body]
    elif datatype != "BOOL":  # where every byte but 0 is true
        assert np.ascontiguousarray(tensor.array).tobytes() == body
