"""What is read of .npy files, and what is refused before it costs anything."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as np_st

from gateway.codecs.npy import MAX_STRINGS, is_npy, read_npy
from gateway.errors import InvalidRequest
from gateway.tensors import DTYPES, Datatype

NUMBERS = sorted(set(DTYPES) - {"BYTES", "BF16"})
SHAPES = np_st.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3)


def written(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def with_header(text: str, content: bytes = b"") -> bytes:
    header = text.encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + content


@given(data=st.data(), datatype=st.sampled_from(NUMBERS))
def test_what_numpy_saves_is_read_bit_by_bit(data: st.DataObject, datatype: Datatype) -> None:
    array = data.draw(np_st.arrays(DTYPES[datatype], SHAPES))
    if data.draw(st.booleans()):
        array = np.asfortranarray(array)
    read = read_npy(written(array), datatype, path="x")
    assert (read.dtype, read.shape) == (array.dtype, array.shape)
    assert read.tobytes() == array.tobytes()
    assert read.flags.c_contiguous
    assert read.flags.aligned


@given(np_st.arrays(st.sampled_from([np.dtype("S3"), np.dtype("<U2"), np.dtype(">U2")]), SHAPES))
def test_strings_become_bytes(array: Any) -> None:
    try:
        wanted = [s if isinstance(s, bytes) else s.encode() for s in array.ravel().tolist()]
    except UnicodeEncodeError:
        with pytest.raises(InvalidRequest, match="no Unicode"):
            read_npy(written(array), "BYTES", path="x")
        return
    read = read_npy(written(array), "BYTES", path="x")
    assert (read.ravel().tolist(), read.shape) == (wanted, array.shape)


@given(st.one_of(st.binary(), st.binary().map(lambda tail: b"\x93NUMPY\x01\x00" + tail)))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for datatype in DTYPES:
        with contextlib.suppress(InvalidRequest):
            read_npy(data, datatype, path="x")


def test_numbers_are_converted_where_nothing_is_lost_but_precision() -> None:
    doubles = np.array([1.1, 1e300, np.nan])
    assert (
        read_npy(written(doubles), "FP32", path="x").tobytes()
        == np.array([1.1, np.inf, np.nan], "<f4").tobytes()
    )
    assert read_npy(written(doubles), "BF16", path="x").dtype == ml_dtypes.bfloat16
    assert read_npy(written(np.array([1, 2])), "FP32", path="x").tolist() == [1, 2]
    assert read_npy(written(np.array([-128, 127])), "INT8", path="x").tolist() == [-128, 127]
    assert read_npy(written(np.array([1, 2], ">i4")), "INT32", path="x").tolist() == [1, 2]


@pytest.mark.parametrize(
    ("array", "datatype", "text"),
    [
        (np.array([128]), "INT8", "got 128 to 128, the model's int8 ends at -128 and 127"),
        (np.array([-1]), "UINT64", "got -1 to -1"),
        (np.array([2**64 - 1], "u8"), "INT64", "the model's int64 ends"),
        (np.array([1.0]), "INT32", "got <f8, the model wants INT32"),
        (np.array([True]), "FP32", "got |b1"),
        (np.array([1]), "BOOL", "got <i8"),
        (np.array(["a"]), "FP32", "got <U1"),
        (np.array([1]), "BYTES", "wants strings"),
    ],
)
def test_other_values_are_refused(array: Any, datatype: Datatype, text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_npy(written(array), datatype, path="x")
    assert text in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        b"\x93NUMPY",
        b"\x93NUMPY\x09\x00\x00\x00",
        with_header("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", b"\x80\x04N."),
        with_header("{'descr': '<M8[s]', 'fortran_order': False, 'shape': (0,), }"),
        with_header("{'descr': '<i5', 'fortran_order': False, 'shape': (0,), }"),
        with_header("{'descr': '|S0', 'fortran_order': False, 'shape': (1000000000,), }"),
        with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (999999999999,), }"),
        with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", b"1234"),
        with_header(f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({'1, ' * 33}), }}"),
        with_header("(" * 9000),
        with_header(
            f"{{'descr': '|S1', 'fortran_order': False, 'shape': ({MAX_STRINGS + 1},), }}",
            b"a" * (MAX_STRINGS + 1),
        ),
    ],
)
def test_what_would_cost_much_or_run_code_is_refused(data: bytes) -> None:
    assert is_npy(data)
    for datatype in ("FP32", "INT64", "BYTES"):
        with pytest.raises(InvalidRequest):
            read_npy(data, datatype, path="x")
