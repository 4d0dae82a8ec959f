"""Does every value of every datatype survive every dialect? The values that break codecs, one by one.

Beside the properties of each codec (any bit pattern, any shape), which find what nobody thought of.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import pytest

from gateway._stubs import tfs_wire_pb2 as wire
from gateway.codecs import oip_json, oip_proto, raw, tfs_json, tfs_proto, tfs_tensor, torchserve
from gateway.codecs.lenient_json import read_json
from gateway.codecs.tfs_json_read import is_in_json
from gateway.messages import InferRequest, InferResponse
from gateway.tensors import DTYPES, Array, Datatype, Signature, Tensor, TensorSpec
from tests.codecs.oip_strategies import same_bits, same_numbers

_HALVES = ("FP16", "BF16")
_UNSIGNED: dict[Datatype, str] = {"FP16": "<u2", "BF16": "<u2", "FP32": "<u4", "FP64": "<u8"}
# Quiet and signalling NaNs with and without a payload, of both signs; zeros; the smallest subnormals;
# the infinities; the largest finite numbers; and one.
_BITS: dict[Datatype, tuple[int, ...]] = {
    "FP16": (0x7E00, 0x7E01, 0x7C01, 0xFFFF, 0xFE00, 0, 0x8000, 1, 0x8001, 0x7C00, 0xFC00, 0x7BFF),
    "BF16": (0x7FC0, 0x7FC1, 0x7F81, 0xFFFF, 0xFFC0, 0, 0x8000, 1, 0x8001, 0x7F80, 0xFF80, 0x7F7F),
    "FP32": (
        0x7FC00000, 0x7FC00001, 0x7F800001, 0xFFFFFFFF, 0xFFC00000, 0, 0x80000000,
        1, 0x80000001, 0x7F800000, 0xFF800000, 0x7F7FFFFF, 0x3F800000,
    ),
    "FP64": (
        0x7FF8000000000000, 0x7FF8000000000001, 0x7FF0000000000001, 0xFFFFFFFFFFFFFFFF, 0,
        0x8000000000000000, 1, 0x8000000000000001, 0x7FF0000000000000, 0xFFF0000000000000,
        0x7FEFFFFFFFFFFFFF, 0x3FF0000000000000,
    ),
}  # fmt: skip
_TEXTS = [b"", b"\0", b"a\0b\0", b"plain", "\u00fc\u4e16\U0001f600".encode(), b'"\\\n']
_NO_TEXT = [b"\xff\xfe", b"\x80\0", b"\xed\xa0\x80"]  # not UTF-8, a lone surrogate among them


def _values(datatype: Datatype) -> Array:
    if datatype == "BYTES":
        return np.array(_TEXTS, np.object_)
    if datatype == "BOOL":
        return np.array([False, True])
    if datatype in _BITS:
        return np.array(_BITS[datatype], _UNSIGNED[datatype]).view(DTYPES[datatype])
    limits = np.iinfo(cast("Any", DTYPES[datatype]))
    return np.array([limits.min, limits.max, 0, 1, limits.max // 2], DTYPES[datatype])


def _shapes(datatype: Datatype) -> Iterator[Array]:
    values: Array = _values(datatype)
    yield values
    yield values.reshape(1, -1, 1)
    yield values[:1].reshape(())
    yield values[:1].reshape(1, 1, 1, 1, 1)
    for nothing in ((0,), (0, 3), (3, 0), (2, 0, 2)):
        yield np.empty(nothing, DTYPES[datatype])


CASES = [
    pytest.param(Tensor("x", datatype, array), id=f"{datatype}-{list(array.shape)}")
    for datatype in DTYPES
    for array in _shapes(datatype)
]
BYTES = Tensor("x", "BYTES", np.array([*_TEXTS, *_NO_TEXT], np.object_))
EVERY = [*CASES, pytest.param(BYTES, id="BYTES-not-text")]


def _request(tensor: Tensor) -> InferRequest:
    return InferRequest(model="m", version="1", inputs=(tensor,))


def _response(tensor: Tensor) -> InferResponse:
    return InferResponse(model="m", version="1", signature="s", outputs=(tensor,))


def _signature(tensor: Tensor) -> Signature:
    spec = TensorSpec(tensor.name, tensor.datatype, (-1, *tensor.shape[1:]))
    return Signature("s", {tensor.name: spec}, {tensor.name: spec})


# -- binary: every bit ----------------------------------------------------------------------------


@pytest.mark.parametrize("tensor", EVERY)
def test_raw_bytes(tensor: Tensor) -> None:
    data = raw.encode_raw(tensor.array)
    array = raw.decode_raw(data, tensor.datatype, tensor.shape, what="x", path="x")
    assert same_bits(Tensor("x", tensor.datatype, array), tensor)


@pytest.mark.parametrize("tensor", EVERY)
def test_the_open_inference_protocol_over_grpc(tensor: Tensor) -> None:
    asked = oip_proto.decode_request(oip_proto.encode_request(_request(tensor)))
    answered = oip_proto.decode_response(oip_proto.encode_response(_response(tensor)))
    assert same_bits(asked.inputs[0], tensor)
    assert same_bits(answered.outputs[0], tensor)


@pytest.mark.parametrize("tensor", EVERY)
def test_binary_tensor_data(tensor: Tensor) -> None:
    body, length = oip_json.encode_request(_request(tensor))
    asked, _ = oip_json.decode_request(body, length, model="m", version="1")
    binary = oip_json.OutputForm(binary=True)
    answered = oip_json.decode_response(*oip_json.encode_response(_response(tensor), binary))
    assert same_bits(asked.inputs[0], tensor)
    assert same_bits(answered.outputs[0], tensor)


@pytest.mark.parametrize("tensor", EVERY)
def test_tensorflow_serving_over_grpc(tensor: Tensor) -> None:
    asked = tfs_proto.decode_request(tfs_proto.encode_request(_request(tensor)))
    answered = tfs_proto.decode_response(tfs_proto.encode_response(_response(tensor)))
    assert same_bits(asked.inputs[0], tensor)
    assert same_bits(answered.outputs[0], tensor)


@pytest.mark.parametrize("tensor", EVERY)
def test_tensorflow_serving_with_a_field_for_each_type(tensor: Tensor) -> None:
    proto = wire.TensorProto()
    tfs_tensor.write_values(tensor, proto)
    received = wire.TensorProto.FromString(proto.SerializeToString())
    assert same_bits(tfs_tensor.decode_tensor("x", received, 2**20), tensor)


# -- JSON: every number, and one NaN ---------------------------------------------------------------


@pytest.mark.parametrize("tensor", CASES)
def test_the_open_inference_protocol_in_json(tensor: Tensor) -> None:
    body, length = oip_json.encode_request(_request(tensor), binary=False)
    answered = oip_json.decode_response(
        body.replace(b'"inputs"', b'"outputs"', 1), length
    )  # a server's reader also takes halves as numbers
    assert _same(answered.outputs[0], tensor)
    if tensor.datatype not in _HALVES:
        asked, _ = oip_json.decode_request(body, length, model="m", version="1")
        assert same_numbers(asked.inputs[0], tensor)


@pytest.mark.parametrize("form", ["row", "columnar"])
@pytest.mark.parametrize("tensor", EVERY)
def test_tensorflow_serving_in_json(tensor: Tensor, form: Any) -> None:
    if not is_in_json(tensor.datatype) or (
        form == "row" and not (tensor.shape and tensor.shape[0])
    ):
        return  # answered in JSON, but never taken; no rows, no row form
    if not tensor.array.size:
        return  # `[[], []]` says nothing of the dimensions inside: see the test below
    name = "x_bytes" if tensor is BYTES else "x"  # by its name, TF Serving knows what is no text
    sent = Tensor(name, tensor.datatype, tensor.array)
    written = cast("dict[str, Any]", read_json(tfs_json.encode_response(_response(sent), form)))
    key, values = ("instances", "predictions") if form == "row" else ("inputs", "outputs")
    body = _as_sent({key: written[values]})
    (back,) = tfs_json.decode_inputs(tfs_json.parse_predict(body), _signature(sent))
    assert _same(back, sent)


@pytest.mark.parametrize("datatype", [*filter(is_in_json, DTYPES)])
def test_no_rows_in_json_are_no_rows(datatype: Datatype) -> None:
    empty = Tensor("x", datatype, np.empty((0, 4), DTYPES[datatype]))
    body = tfs_json.parse_predict(b'{"inputs": []}')  # TF Serving refuses no `instances`
    (back,) = tfs_json.decode_inputs(body, _signature(empty))
    assert back.shape[0] == 0
    assert back.array.dtype == DTYPES[datatype]


@pytest.mark.parametrize("tensor", EVERY)
def test_torchserve(tensor: Tensor) -> None:
    if not tensor.array.size or not tensor.shape:
        return  # as above
    wanted = _signature(tensor)
    body = torchserve.encode_request(_request(tensor), wanted, "instances")
    answer = body.replace(b'"instances"', b'"predictions"', 1)
    back = torchserve.decode_response(answer, wanted, model="m", version="1")
    assert _same(back.outputs[0], tensor)


def _as_sent(document: object) -> bytes:
    """As a client writes it: NaN and Infinity are bare words."""

    return json.dumps(document).encode()


def _same(left: Tensor, right: Tensor) -> bool:
    return same_numbers(_widened(left), _widened(right))


def _widened(tensor: Tensor) -> Tensor:
    if tensor.datatype != "BF16":
        return tensor
    return Tensor(tensor.name, "FP32", tensor.array.astype(np.float32))
