"""JSON with NaN and Infinity."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.codecs.json_text import array_text, dump, load, number_text, seen
from gateway.errors import InvalidRequest
from tests.codecs.oip_strategies import arrays


def test_numbers_that_are_none_are_read() -> None:
    """The three tokens, beside strings that look like them."""
    read = load(b'{"NaN": [NaN, Infinity, -Infinity, 1, "NaN"], "i": 18446744073709551615}')
    assert isinstance(read, dict)
    assert math.isnan(read["NaN"][0])
    assert read["NaN"][1:] == [math.inf, -math.inf, 1, "NaN"]
    assert read["i"] == 2**64 - 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nonsense",
        b"[NaN",
        b"[NaN] x",
        b"[Infinit]",
        b"[1e400]",
        b"\xff",
        b'["\xff", NaN]',
        b'["\\ud800"]',
        b'["\\ud800", NaN]',
        b"[" * 2000 + b"]" * 2000,
        b"[" * 200_000 + b"NaN" + b"]" * 200_000,
        b"[" + b"1" * 5000 + b", NaN]",
        '["NaN", 1'.encode("utf-16"),
    ],
)
def test_what_is_no_json_is_refused(body: bytes) -> None:
    """Truncated, trailing, not UTF-8, half a surrogate pair, nested without end."""
    with pytest.raises(InvalidRequest):
        load(body)


@given(st.binary(max_size=40))
@example(b'{"a":NaN,"a":1}')
@example(b"NaN\x00")
def test_any_bytes_give_a_value_or_our_error(body: bytes) -> None:
    """Nothing but a GatewayError escapes."""
    for text in (body, body + b"NaN", b"[" + body + b",NaN]"):
        try:
            load(text)
        except InvalidRequest:
            continue


@given(st.sampled_from(["FP32", "FP64", "BOOL", "INT8", "UINT64"]), st.data())
def test_arrays_are_written_as_python_would(datatype: Any, data: st.DataObject) -> None:
    """Flat, shortest digits, NaN and Infinity as tokens; Python reads them as the same numbers."""
    array = data.draw(arrays(datatype))
    read = load(dump(array_text(array)))
    assert isinstance(read, list)
    back = np.array(read, array.dtype).reshape(array.shape)
    assert np.array_equal(back, array, equal_nan=datatype.startswith("FP"))


def test_an_array_in_any_layout_is_written_row_by_row() -> None:
    """A transposed array is not contiguous, and orjson would refuse it."""
    array = np.arange(6, dtype=np.float32).reshape(2, 3).T
    assert dump(array_text(array)) == b"[0.0,3.0,1.0,4.0,2.0,5.0]"


def test_each_number_that_is_none_keeps_its_place() -> None:
    """Between finite ones, and alone."""
    array = np.array([np.nan, 1, -np.inf, np.inf, -0.0], np.float32)
    assert dump(array_text(array)) == b"[NaN,1.0,-Infinity,Infinity,-0.0]"
    assert dump([number_text(v) for v in (math.nan, math.inf, 0.5)]) == b"[NaN,Infinity,0.5]"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "nothing"),
        ([1], "a list"),
        ({}, "an object"),
        (True, "true"),
        (False, "false"),
        (1.5, "1.5"),
        ("x" * 1000, repr("x" * 60)),
    ],
)
def test_a_wrong_value_is_told_shortly(value: object, text: str) -> None:
    """However long it is."""
    assert seen(value) == text


def test_finite_numbers_never_meet_the_slow_reader() -> None:
    """orjson's answer is returned as it is."""
    body = b'{"a":[1.5,2,true,null,"x"]}'
    assert load(body) == orjson.loads(body)
