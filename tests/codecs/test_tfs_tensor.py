"""Is every form of a TensorProto read as TensorFlow reads it, and a broken one refused?"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from gateway._stubs import tfs_wire_pb2 as wire
from gateway.codecs.tfs_tensor import decode_tensor, write_content, write_values
from gateway.errors import InvalidRequest, Unsupported
from gateway.tensors import Tensor
from tests.codecs.oip_strategies import same_bits, tensors

LIMIT = 1024


@given(tensors())
def test_both_forms_of_a_tensor_read_the_same(tensor: Tensor) -> None:
    for write in (write_content, write_values):
        proto = wire.TensorProto()
        write(tensor, proto)
        assert same_bits(decode_tensor(tensor.name, proto, LIMIT), tensor)


def proto(
    dtype: int = wire.DT_FLOAT, shape: tuple[int, ...] = (), **fields: object
) -> wire.TensorProto:
    made = wire.TensorProto(**fields)  # type: ignore[arg-type]  # one keyword for every field
    made.dtype = dtype  # type: ignore[assignment]  # numbers without a name too
    for size in shape:
        made.tensor_shape.dim.add(size=size)
    return made


def read(made: wire.TensorProto) -> object:
    return decode_tensor("x", made, LIMIT).array.tolist()


def floats(*values: float) -> list[bytes]:
    return [np.array(values, "<f4").tobytes()]


def test_a_tensor_without_a_shape_is_a_scalar() -> None:
    assert read(proto(float_val=floats(2.5))) == 2.5


def test_a_short_typed_field_repeats_its_last_value_and_an_empty_one_means_zero() -> None:
    assert read(proto(shape=(4,), float_val=floats(1.0, 2.0))) == [1.0, 2.0, 2.0, 2.0]
    assert read(proto(shape=(2,))) == [0.0, 0.0]
    assert read(proto(wire.DT_STRING, (2,))) == [b"", b""]
    assert read(proto(wire.DT_STRING, (2,), string_val=[b"a"])) == [b"a", b"a"]
    assert read(proto(wire.DT_INT64, (3,), int64_val=[7])) == [7, 7, 7]
    assert read(proto(wire.DT_BOOL, (2,), bool_val=[b"\x01"])) == [True, True]


def test_surplus_values_are_dropped() -> None:
    assert read(proto(shape=(1,), float_val=floats(1.0, 2.0))) == [1.0]
    assert read(proto(shape=(0,), float_val=floats(1.0))) == []


def test_narrow_integers_wrap_around_like_a_cast() -> None:
    assert read(proto(wire.DT_UINT8, (2,), int_val=[300, -1])) == [44, 255]


def test_sixteen_bit_floats_travel_as_bit_patterns() -> None:
    assert read(proto(wire.DT_HALF, (2,), half_val=[0x3C00, 0x7C00])) == [1.0, np.inf]
    assert read(proto(wire.DT_BFLOAT16, (1,), half_val=[0x3F80])) == [1.0]


def test_values_that_a_writer_did_not_pack_are_read_too() -> None:
    """Legal, though no TensorFlow client does it: one tag before every value."""
    unpacked = b"".join(b"\x2d" + np.float32(value).tobytes() for value in (1.0, 2.0, 3.0))
    shape = b"\x12\x04\x12\x02\x08\x03"
    assert read(wire.TensorProto.FromString(b"\x08\x01" + shape + unpacked)) == [1.0, 2.0, 3.0]
    booleans = b"\x08\x0a" + b"\x12\x04\x12\x02\x08\x02" + b"\x58\x01\x58\x00"
    assert read(wire.TensorProto.FromString(booleans)) == [True, False]


def test_values_packed_in_several_runs_are_read_as_one() -> None:
    made = proto(shape=(3,), float_val=floats(1.0) + floats(2.0, 3.0))
    assert read(made) == [1.0, 2.0, 3.0]


def test_booleans_written_as_long_varints_are_true() -> None:
    made = proto(wire.DT_BOOL, (2,), bool_val=[b"\x81\x00\x00"])
    assert decode_tensor("x", made, LIMIT).array.view(np.uint8).tolist() == [1, 0]


@pytest.mark.parametrize(
    "made",
    [
        proto(shape=(2,), float_val=[b"\0" * 6]),
        proto(wire.DT_DOUBLE, (1,), double_val=[b"\0" * 9]),
        proto(wire.DT_BOOL, (1,), bool_val=[b"\x81"]),
    ],
)
def test_typed_values_that_are_cut_off_are_refused(made: wire.TensorProto) -> None:
    with pytest.raises(InvalidRequest, match="_val is cut off"):
        read(made)


def test_an_array_read_from_content_is_a_view_of_the_message() -> None:
    content = np.arange(4, dtype="<f4").tobytes()
    array = decode_tensor("x", proto(shape=(2, 2), tensor_content=content), LIMIT).array
    assert array.base is not None
    assert not array.flags.writeable
    assert array.flags.c_contiguous


def test_tensor_content_of_strings_is_lengths_then_text() -> None:
    made = proto(wire.DT_STRING, (3,), tensor_content=b"\x01\x00\x82\x00" + b"a" + b"bc")
    assert read(made) == [b"a", b"", b"bc"]
    short = proto(wire.DT_STRING, (3,), tensor_content=b"\x01\x00\x02" + b"a" + b"bc")
    assert read(short) == [b"a", b"", b"bc"]
    long = proto(wire.DT_STRING, (2,), tensor_content=b"\x01\xc8\x01" + b"a" + b"b" * 200)
    assert read(long) == [b"a", b"b" * 200]


BROKEN = {
    "short content": proto(shape=(2,), tensor_content=b"\0" * 4),
    "long content": proto(shape=(2,), tensor_content=b"\0" * 12),
    "a boolean of 2": proto(wire.DT_BOOL, (2,), tensor_content=b"\x02\x00"),
    "a negative dimension": proto(shape=(-2,), float_val=floats(1.0)),
    "two huge dimensions": proto(shape=(2**40, 2**40), float_val=floats(1.0)),
    "a large array from one value": proto(shape=(LIMIT,), float_val=floats(1.0)),
    "a large array from none": proto(shape=(2**36,)),
    "many strings from one": proto(wire.DT_STRING, (LIMIT,), string_val=[b"a"]),
    "no elements, huge strides": proto(shape=(0, 2**62, 2**62)),
    "too many dimensions": proto(shape=(1,) * 33, float_val=floats(1.0)),
    "no datatype": proto(wire.DT_INVALID, float_val=floats(1.0)),
    "a reference": proto(101, (1,), float_val=floats(1.0)),
    "strings cut off": proto(wire.DT_STRING, (2,), tensor_content=b"\x01\x05abc"),
    "a length cut off": proto(wire.DT_STRING, (1,), tensor_content=b"\xff\xff"),
    "more strings than bytes": proto(wire.DT_STRING, (9,), tensor_content=b"\x00"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_tensors_are_refused_in_tf_servings_words(name: str) -> None:
    with pytest.raises(InvalidRequest, match=r"^tensor parsing error: x: got "):
        decode_tensor("x", BROKEN[name], LIMIT)


@pytest.mark.parametrize("dtype", [wire.DT_COMPLEX64, wire.DT_VARIANT, wire.DT_QINT8])
def test_datatypes_that_tandem_does_not_carry_are_named(dtype: int) -> None:
    with pytest.raises(Unsupported, match=r"tensor x: DT_\w+ is not carried"):
        decode_tensor("x", proto(dtype, (1,)), LIMIT)
