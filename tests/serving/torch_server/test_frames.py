from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gateway.tensors import DTYPES, Array
from serving.torch_server.frames import BrokenFrame, Frame, FrameReader, encode_frame

NUMERIC = [dtype for name, dtype in DTYPES.items() if name not in ("BYTES", "BF16")]
ARRAYS = st.sampled_from(NUMERIC).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, min_side=0, max_side=5))
)
FIELDS = st.dictionaries(st.text(), st.integers(-(2**53), 2**53) | st.text() | st.booleans())


def octets(frame: Frame) -> bytes:
    return b"".join(encode_frame(frame))


def read(reader: FrameReader, data: bytes, sizes: list[int] | None = None) -> list[Frame]:
    """The frames in `data`, which comes in pieces of these sizes, again and again."""
    frames = []
    step = 0
    while data:
        room = reader.buffer
        count = min(len(room), len(data), (sizes or [1 << 20])[step % len(sizes or [1])])
        room[:count] = data[:count]
        data = data[count:]
        step += 1
        if (frame := reader.advance(count)) is not None:
            frames.append(frame)
    return frames


def same(one: Array, other: Array) -> bool:
    return (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())


@given(
    st.text(),
    FIELDS,
    st.lists(ARRAYS, max_size=4),
    st.lists(st.integers(1, 200), min_size=1, max_size=5),
)
def test_a_frame_arrives_as_it_was_sent_in_pieces_of_any_size(
    kind: str, fields: dict[str, object], tensors: list[Array], sizes: list[int]
) -> None:
    sent = Frame(kind, fields, tuple(tensors))
    (got,) = read(FrameReader(), octets(sent), sizes)
    assert (got.kind, got.fields) == (kind, fields)
    assert len(got.tensors) == len(tensors)
    assert all(map(same, got.tensors, tensors))


def test_bfloat16_zero_rows_and_scalars_travel() -> None:
    tensors = (
        np.array([1.5, -0.0, np.nan], DTYPES["BF16"]),
        np.zeros((0, 4), DTYPES["FP32"]),
        np.array(7, DTYPES["INT64"]),
    )
    (got,) = read(FrameReader(), octets(Frame("run", {}, tensors)))
    assert all(map(same, got.tensors, tensors))


def test_a_frame_larger_than_the_first_read_arrives_whole_and_the_next_one_too() -> None:
    large = np.arange(100_000, dtype=DTYPES["FP64"])
    reader = FrameReader()
    for tensors in ((large, large[:3]), (large[:1],), (large,)):
        (got,) = read(reader, octets(Frame("run", {}, tensors)), [70_000, 1, 9])
        assert all(map(same, got.tensors, tensors))


def test_small_tensors_are_sent_in_one_piece() -> None:
    tensors = (np.ones(3, DTYPES["INT8"]), np.zeros((32, 4), DTYPES["FP32"]).T)
    assert len(encode_frame(Frame("run", {}, tensors))) == 1


def test_what_is_sent_of_a_large_contiguous_tensor_is_its_own_memory() -> None:
    tensor = np.zeros(100_000, DTYPES["FP32"])
    last = encode_frame(Frame("run", {}, (tensor,)))[-1]
    assert np.shares_memory(np.frombuffer(last, np.uint8), tensor)


def test_tensors_are_aligned_where_they_arrive() -> None:
    tensors = tuple(np.ones(1, DTYPES[name]) for name in ("BOOL", "FP64", "UINT8", "INT64"))
    (got,) = read(FrameReader(), octets(Frame("run", {}, tensors)))
    assert all(tensor.flags.aligned and tensor.flags.writeable for tensor in got.tensors)


@pytest.mark.parametrize(
    "data",
    [
        b"\0" * 16,
        b"\xff" * 16,
        (2).to_bytes(8, "little") + bytes(8) + b"{}",
        (4).to_bytes(8, "little") + bytes(8) + b"nope",
        (16).to_bytes(8, "little") + bytes(8) + b'["k",{},[["FP32'[:16].ljust(16),
        (27).to_bytes(8, "little") + bytes(8) + b'["k",{},[["FP32",[2,-1]]]] ',
        (27).to_bytes(8, "little") + bytes(8) + b'["k",{},[["FP32",[2,21]]]] ',
        (27).to_bytes(8, "little") + bytes(8) + b'["k",{},[["FP31",[2,21]]]] ',
        (11).to_bytes(8, "little") + (4).to_bytes(8, "little") + b'["k",{},[]]' + b"rest",
    ],
)
def test_what_is_no_frame_is_refused(data: bytes) -> None:
    with pytest.raises(BrokenFrame):
        read(FrameReader(), data)


@given(st.binary(min_size=16, max_size=400))
def test_any_bytes_are_a_frame_or_broken_and_never_another_error(data: bytes) -> None:
    reader = FrameReader(max_body_bytes=1 << 16)
    try:
        read(reader, data)
    except BrokenFrame:
        return
    assert len(reader.buffer) > 0


def test_a_body_over_the_limit_is_refused_before_memory_is_taken() -> None:
    head = (64).to_bytes(8, "little") + (2**40).to_bytes(8, "little")
    with pytest.raises(BrokenFrame, match=str(2**40)):
        read(FrameReader(), head)
