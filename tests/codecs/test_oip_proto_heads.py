"""A message that is like one before it but for its values is read as if it were the first."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway._stubs import oip_wire_pb2 as pb
from gateway.codecs.oip_proto import decode_request, encode_request
from gateway.codecs.oip_proto_heads import Heads
from gateway.errors import GatewayError
from gateway.messages import InferRequest
from gateway.tensors import Tensor
from tests.codecs.oip_strategies import requests, same_bits

FLOATS = st.lists(st.floats(width=32), min_size=4, max_size=4)


def message(
    values: list[float], *, model: str = "m", name: str = "x", request_id: str = ""
) -> bytes:
    tensor = Tensor(name, "FP32", np.array([values], np.float32))
    return encode_request(InferRequest(model=model, inputs=(tensor,), id=request_id))


def assert_read_alike(heads: Heads[object], data: bytes) -> None:
    try:
        wanted = decode_request(data)
    except GatewayError as error:
        with pytest.raises(type(error), match=f"^{re.escape(str(error))}$"):
            heads.read(data)
        return
    got, _ = heads.read(data)
    assert len(got.inputs) == len(wanted.inputs)
    assert all(map(same_bits, got.inputs, wanted.inputs))
    assert [t.array.flags.aligned for t in got.inputs] == [
        t.array.flags.aligned for t in wanted.inputs
    ]
    assert (got.model, got.version, got.outputs, got.id, got.parameters) == (
        wanted.model,
        wanted.version,
        wanted.outputs,
        wanted.id,
        wanted.parameters,
    )


@given(st.lists(FLOATS, min_size=2, max_size=4))
def test_the_second_of_a_kind_has_its_own_values_and_the_head_of_the_first(
    rows: list[list[float]],
) -> None:
    heads: Heads[object] = Heads()
    _, first = heads.read(message(rows[0]))
    assert first is not None
    for row in rows[1:]:
        assert_read_alike(heads, message(row))
        assert heads.read(message(row))[1] is first


@given(st.lists(requests(), min_size=1, max_size=4), st.data())
def test_whatever_was_read_before_nothing_is_read_otherwise(
    asked: list[InferRequest], data: st.DataObject
) -> None:
    heads: Heads[object] = Heads()
    for request in asked:
        encoded = encode_request(request)
        assert_read_alike(heads, encoded)
        changed = bytearray(encoded)
        for at in data.draw(st.lists(st.integers(0, 10_000), max_size=4)) if changed else ():
            changed[at % len(changed)] ^= data.draw(st.integers(1, 255))
        assert_read_alike(heads, bytes(changed))
        assert_read_alike(heads, encoded)


@pytest.mark.parametrize("tail", [b"\x3a\x04abcd", b"\x3a\x04\x00\x00\x80\x3f"])
def test_what_only_looks_like_raw_values_is_read_all_over(tail: bytes) -> None:
    heads: Heads[object] = Heads()
    request = pb.ModelInferRequest(model_name="m")
    tensor = request.inputs.add(name="x", datatype="FP32", shape=[1])
    tensor.contents.fp32_contents.append(1.0)
    # In another field, which the protocol does not know, or inside of one that it does.
    for data in (
        request.SerializeToString() + b"\x92\x03" + bytes((len(tail),)) + tail,
        pb.ModelInferRequest(model_name=(b"m" + tail[:2]).decode("latin-1")).SerializeToString(),
    ):
        assert_read_alike(heads, data)
        assert_read_alike(heads, data[:-1] + b"z")


def test_kinds_of_the_same_length_are_told_apart() -> None:
    heads: Heads[object] = Heads()
    kinds = [message([1, 2, 3, 4], model="ab"), message([5, 6, 7, 8], model="a", name="xy")]
    tensor = Tensor("x", "FP32", np.array([[1, 2, 3]], np.float32))
    kinds.append(encode_request(InferRequest(model="abcdef", inputs=(tensor,))))
    assert len(set(map(len, kinds))) == 1
    known = [heads.read(data)[1] for data in kinds]
    assert None not in known
    assert [heads.read(data)[1] for data in kinds] == known
    for data in kinds:
        assert_read_alike(heads, data)


def test_only_what_may_come_again_is_remembered() -> None:
    heads: Heads[object] = Heads()
    assert heads.read(message([1, 2, 3, 4], request_id="its own"))[1] is None
    assert heads.read(message([1, 2, 3, 4], model="m" * 600))[1] is None
    text = Tensor("x", "BYTES", np.array([b"text"], np.object_))
    assert heads.read(encode_request(InferRequest(model="m", inputs=(text,))))[1] is None


def test_it_forgets_before_it_grows_without_bound() -> None:
    heads: Heads[object] = Heads()
    data = message([1, 2, 3, 4])
    first = heads.read(data)[1]
    for number in range(1024):
        heads.read(message([1, 2, 3, 4], model=f"model-{number}"))
    assert heads.read(data)[1] is not first
