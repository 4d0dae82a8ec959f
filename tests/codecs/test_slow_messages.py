"""What of a message is slow to read is told from its outside, whatever it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway._stubs import oip_wire_pb2 as oip
from gateway._stubs import tfs_wire_pb2 as tfs
from gateway.codecs import oip_proto, tfs_proto
from gateway.codecs.slow_messages import (
    SLOW_BYTES,
    are_slow,
    slow_infer_bytes,
    slow_map_bytes,
    slow_predict_bytes,
)
from gateway.messages import InferRequest
from gateway.tensors import Tensor

NUMBERS = Tensor("x", "FP32", np.zeros((100, 1000), np.float32))
STRINGS = Tensor("s", "BYTES", np.array([b""] * 20_000, np.object_))


def infer(*inputs: Tensor) -> bytes:
    return oip_proto.encode_request(InferRequest(model="m", inputs=inputs))


def predict(**fields: Any) -> bytes:
    message = tfs.PredictRequest()
    message.model_spec.name = "m"
    tensor = message.inputs["x"]
    for name, value in fields.items():
        if isinstance(value, list):
            getattr(tensor, name).extend(value)
        else:
            setattr(tensor, name, value)
    return message.SerializeToString()


def test_raw_numbers_are_not_slow_and_strings_are() -> None:
    assert slow_infer_bytes(infer(NUMBERS)) < 100
    for slow in (infer(STRINGS), infer(NUMBERS, STRINGS)):
        assert slow_infer_bytes(slow) == len(slow)


def test_typed_contents_and_many_fields_are_slow() -> None:
    message = oip.ModelInferRequest(model_name="m")
    tensor = message.inputs.add(name="x", datatype="INT64", shape=[20_000])
    tensor.contents.int64_contents.extend([1] * 40_000)
    assert slow_infer_bytes(message.SerializeToString()) > SLOW_BYTES
    many = infer(*[Tensor(str(n), "FP32", np.zeros(1, np.float32)) for n in range(100)])
    assert slow_infer_bytes(many) == len(many)


@pytest.mark.parametrize(
    ("data", "is_slow"),
    [
        (predict(dtype=tfs.DT_FLOAT, tensor_content=bytes(40_000)), False),
        (predict(dtype=tfs.DT_FLOAT, float_val=[bytes(40_000)]), False),
        (predict(dtype=tfs.DT_BOOL, bool_val=[bytes(40_000)]), False),
        (predict(dtype=tfs.DT_STRING, tensor_content=bytes(40_000)), True),
        (predict(dtype=tfs.DT_STRING, string_val=[b""] * 20_000), True),
        (predict(dtype=tfs.DT_INT64, int64_val=[1] * 40_000), True),
        (predict(dtype=tfs.DT_FLOAT, float_val=[bytes(4)] * 20_000), True),
    ],
    ids=["content", "floats", "bools", "string content", "strings", "int64", "runs of one"],
)
def test_a_predict_request_is_slow_but_for_its_runs_of_numbers(data: bytes, is_slow: bool) -> None:  # noqa: FBT001
    assert (slow_predict_bytes(data) > SLOW_BYTES) is is_slow


def test_writing_is_slow_where_elements_go_out_one_by_one() -> None:
    assert are_slow([STRINGS], frozenset({"FP32"}))
    assert not are_slow([NUMBERS], frozenset({"FP32"}))
    assert are_slow([NUMBERS], frozenset())


@given(st.binary(max_size=300))
def test_whatever_the_bytes_are_the_answer_is_between_none_and_all_of_them(data: bytes) -> None:
    for measure in (slow_infer_bytes, slow_predict_bytes, slow_map_bytes):
        assert 0 <= measure(data) <= len(data)


@given(st.lists(st.floats(width=32), max_size=20))
def test_what_is_read_here_is_also_readable(numbers: list[float]) -> None:
    tensor = Tensor("x", "FP32", np.array([numbers], np.float32))
    for measure, encode in (
        (slow_infer_bytes, oip_proto.encode_request),
        (slow_predict_bytes, tfs_proto.encode_request),
    ):
        data = encode(InferRequest(model="m", inputs=(tensor,)))
        assert measure(data) < len(data) or not numbers
