"""Are large blobs read and written beside protobuf as protobuf itself reads and writes them?"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway._stubs import oip_wire_pb2 as pb
from gateway.codecs.protobuf import APART_BYTES, parse, parse_apart, serialize_with
from gateway.errors import InvalidRequest

FIELD = "raw_input_contents"
BLOBS = st.lists(
    st.one_of(
        st.binary(max_size=200),
        st.integers(APART_BYTES - 3, APART_BYTES + 300).map(lambda size: b"z" * size),
    ),
    max_size=4,
)


def message_with(blobs: list[bytes]) -> pb.ModelInferRequest:
    message = pb.ModelInferRequest(model_name="m", id="7", raw_input_contents=blobs)
    message.inputs.add(name="x", datatype="FP32", shape=[1, 4])
    message.parameters["p"].int64_param = -3
    return message


@given(BLOBS)
def test_blobs_are_written_as_protobuf_writes_them(blobs: list[bytes]) -> None:
    """To the byte: fields in the order of their numbers, and the blobs' is the last."""
    assert serialize_with(message_with([]), FIELD, blobs) == message_with(blobs).SerializeToString()


@given(BLOBS)
def test_blobs_are_read_as_protobuf_reads_them(blobs: list[bytes]) -> None:
    """Whatever their size, with the rest of the message."""
    message, read = parse_apart(
        pb.ModelInferRequest, message_with(blobs).SerializeToString(), FIELD
    )
    assert [bytes(blob) for blob in read] == blobs
    message.ClearField("raw_input_contents")
    assert message == message_with([])


def test_fields_may_come_in_any_order_and_in_pieces() -> None:
    """The wire format allows it: messages that follow each other are one."""
    big, small = b"b" * APART_BYTES, b"s"
    data = message_with([big]).SerializeToString()
    data += pb.ModelInferRequest(id="8", raw_input_contents=[small]).SerializeToString()
    message, read = parse_apart(pb.ModelInferRequest, data, FIELD)
    assert [bytes(blob) for blob in read] == [big, small]
    assert (message.model_name, message.id) == ("m", "8")


def test_a_large_blob_is_not_copied() -> None:
    """It is a view of the bytes that arrived."""
    data = message_with([b"b" * APART_BYTES]).SerializeToString()
    _, (blob,) = parse_apart(pb.ModelInferRequest, data, FIELD)
    assert np.shares_memory(np.frombuffer(blob, np.uint8), np.frombuffer(data, np.uint8))


def test_a_message_of_many_fields_is_left_to_protobuf() -> None:
    """Python would look at them one by one."""
    blobs = [b""] * APART_BYTES
    _, read = parse_apart(pb.ModelInferRequest, message_with(blobs).SerializeToString(), FIELD)
    assert read == blobs
    assert isinstance(read[0], bytes)


@given(st.binary(max_size=12), st.binary(max_size=12), st.booleans())
def test_any_bytes_mean_what_they_mean_to_protobuf(head: bytes, tail: bytes, cut: bool) -> None:  # noqa: FBT001 - drawn
    """A large message that is broken is refused, and one that is odd is read, as a small one is."""
    data = (
        head + message_with([b"b" * APART_BYTES]).SerializeToString()[: -5 if cut else None] + tail
    )
    try:
        whole = parse(pb.ModelInferRequest, data)
    except InvalidRequest:
        with pytest.raises(InvalidRequest):
            parse_apart(pb.ModelInferRequest, data, FIELD)
        return
    message, read = parse_apart(pb.ModelInferRequest, data, FIELD)
    assert [bytes(blob) for blob in read] == list(whole.raw_input_contents)
    message.ClearField("raw_input_contents")
    whole.ClearField("raw_input_contents")
    assert message == whole
