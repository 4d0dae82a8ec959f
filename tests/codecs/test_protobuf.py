"""Are large blobs read and written beside protobuf as protobuf itself reads and writes them?"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway._stubs import oip_wire_pb2 as pb
from gateway._stubs import tfs_wire_pb2 as tfs
from gateway.codecs.protobuf import (
    APART_BYTES,
    NotAMessage,
    parse,
    parse_apart,
    parse_around,
    serialize_with,
)
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
    written = message_with(blobs).SerializeToString()
    assert serialize_with(message_with([]), FIELD, blobs) == written
    pieces = [[blob[:1], blob[1:]] for blob in blobs]
    assert serialize_with(message_with([]), FIELD, pieces) == written


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


EXAMPLES = st.lists(st.binary(max_size=40), max_size=30).map(
    lambda texts: tfs.Input(
        example_list=tfs.ExampleList(
            examples=[
                tfs.Example(
                    features=tfs.Features(
                        feature={"t": tfs.Feature(bytes_list=tfs.BytesList(value=[text]))}
                    )
                )
                for text in [*texts, b"z" * APART_BYTES]
            ]
        )
    )
)


@given(EXAMPLES)
def test_a_message_around_another_is_written_as_it_was_read(examples: tfs.Input) -> None:
    """The one inside is looked at by nobody, and stays the same to the byte."""
    whole = tfs.ClassificationRequest(model_spec=tfs.ModelSpec(name="m"), input=examples)
    data = whole.SerializeToString()
    message, blobs = parse_around(tfs.ClassificationRequest, data, "input")
    assert message == tfs.ClassificationRequest(model_spec=tfs.ModelSpec(name="m"))
    assert serialize_with(message, "input", blobs) == data


def test_a_large_message_of_too_many_fields_is_none() -> None:
    """Else each of them would be looked at."""
    many = b"\x0a\x00" * APART_BYTES
    with pytest.raises(NotAMessage):
        parse_around(tfs.MultiInferenceRequest, many, "input")
    small, blobs = parse_around(tfs.MultiInferenceRequest, many[:20], "input")
    assert (len(small.tasks), blobs) == (10, ())
