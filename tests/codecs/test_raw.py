"""Raw tensor bytes <-> arrays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.codecs.raw import decode_raw, encode_raw
from gateway.errors import GatewayError, InvalidRequest
from gateway.tensors import DTYPES, Array, Datatype, Tensor
from tests.codecs.oip_strategies import tensors


def decode(data: bytes | memoryview, datatype: Datatype, shape: tuple[int, ...]) -> Array:
    return decode_raw(data, datatype, shape, what="input 'x' for model 'm'", path="inputs[0]")


@given(tensors())
def test_decoding_undoes_encoding(tensor: Tensor) -> None:
    """Every datatype and shape comes back bit by bit: NaNs, zero rows, scalars, any bytes."""
    array = tensor.array
    back = decode(encode_raw(array), tensor.datatype, array.shape)
    assert back.dtype == DTYPES[tensor.datatype]
    assert back.shape == array.shape
    assert encode_raw(back) == encode_raw(array)
    assert back.flags.c_contiguous


@given(
    data=st.binary(max_size=40),
    datatype=st.sampled_from(list(DTYPES)),
    shape=st.lists(st.integers(-2, 5) | st.just(10**9) | st.just(2**70), max_size=5).map(tuple),
)
@example(data=b"", datatype="FP32", shape=(10**9, 10**9))
@example(data=b"", datatype="FP32", shape=(0, 10**9, 10**9, 10**9))
@example(data=b"", datatype="BYTES", shape=(0, 2**70))
@example(data=b"", datatype="BYTES", shape=(10**9, 10**9))
@example(data=b"\xff\xff\xff\xff", datatype="BYTES", shape=(1,))
def test_any_bytes_give_an_array_or_our_error(
    data: bytes, datatype: Datatype, shape: tuple[int, ...]
) -> None:
    """Nothing but a GatewayError escapes, and no shape costs memory that the bytes do not."""
    try:
        array = decode(data, datatype, shape)
    except GatewayError:
        return
    assert array.shape == shape
    assert array.nbytes <= 8 * len(data)


def test_bytes_are_not_copied() -> None:
    """A tensor that came alone is a view of what arrived."""
    data = np.arange(1000, dtype="<f4").tobytes()
    array = decode(data, "FP32", (10, 100))
    assert np.shares_memory(array, np.frombuffer(data, np.uint8))


@pytest.mark.parametrize("offset", range(8))
def test_an_array_is_aligned_wherever_its_bytes_were(offset: int) -> None:
    """Bytes behind a JSON part may begin anywhere; native code does not like it."""
    wanted = np.arange(5, dtype="<f8")
    array = decode(memoryview(b"#" * offset + wanted.tobytes())[offset:], "FP64", (5,))
    assert array.flags.aligned
    assert array.tolist() == wanted.tolist()


@pytest.mark.parametrize("shape", [(4,), (2, 2)])
def test_any_byte_but_zero_is_true(shape: tuple[int, ...]) -> None:
    """A BOOL array holds only the 0 and 1 that numpy relies on."""
    array = decode(b"\x00\x01\x02\xff", "BOOL", shape)
    assert array.view(np.uint8).reshape(-1).tolist() == [0, 1, 1, 1]


def test_a_scalar_truth_stays_an_array() -> None:
    """Shape [] gives an array without dimensions, not a number."""
    array = decode(b"\x02", "BOOL", ())
    assert isinstance(array, np.ndarray)
    assert array.shape == ()


def test_bytes_keep_their_zeros() -> None:
    """An element may be empty, and may end in the zero bytes that numpy's own strings drop."""
    elements = [b"", b"a\0", b"\0\0"]
    array = np.array(elements, dtype=np.object_)
    assert encode_raw(array) == b"\0\0\0\0" + b"\2\0\0\0a\0" + b"\2\0\0\0\0\0"
    assert decode(encode_raw(array), "BYTES", (3,)).tolist() == elements


@pytest.mark.parametrize(
    ("data", "datatype", "shape", "message"),
    [
        (b"1234567", "FP32", (2,), "Expected 8, got 7"),
        (b"12345678", "FP32", (1,), "Expected 4, got 8"),
        (b"\1\0\0\0a" + b"b", "BYTES", (1,), "Expected 5, got 6"),
        (b"\2\0\0\0a", "BYTES", (1,), "Expected at least 6, got 5"),
        (b"\1\0\0\0a" + b"\1\0\0", "BYTES", (2,), "Expected at least 9, got 8"),
        (b"", "BYTES", (3,), "Expected at least 12, got 0"),
    ],
)
def test_a_wrong_size_is_told_in_tritons_words(
    data: bytes, datatype: Datatype, shape: tuple[int, ...], message: str
) -> None:
    """The text names the input, what was wanted and what was got."""
    with pytest.raises(InvalidRequest) as caught:
        decode(data, datatype, shape)
    assert caught.value.path == "inputs[0].data"
    wanted = f"input byte size mismatch for input 'x' for model 'm'. {message}"
    assert caught.value.message == wanted


@pytest.mark.parametrize("shape", [(-1,), (2**70, 0), (1,) * 33])
def test_an_impossible_shape_is_the_callers_fault(shape: tuple[int, ...]) -> None:
    """Negative, unrepresentable and too many dimensions are named by their place."""
    with pytest.raises(InvalidRequest) as caught:
        decode(b"", "FP32", shape)
    assert caught.value.path == "inputs[0].shape"
