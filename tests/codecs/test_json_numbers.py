"""Are long lists of numbers taken out of a JSON text whole, and everything else left alone?"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.codecs.json_numbers import LONG_BYTES, cut
from gateway.tensors import DTYPES
from tests.codecs.json_lists import any_lists, long_, regular_lists


def taken(text: str, *, quick: bool = False) -> Any:
    """What the member `a` of a text is as an array; None if the text is not taken apart."""
    parts = cut(text.encode(), quick=quick)
    if parts is None:
        return None
    numbers = parts.take(orjson.loads(parts.text)["a"])
    assert numbers is not None
    assert parts.left == 0
    return numbers.array


@given(regular_lists())
def test_regular_lists_are_the_array_that_python_reads(text: str) -> None:
    array = taken(f'{{"a":{text}, "b": "c"}}')
    if "18446744073709551616" in text:
        assert array is None
        return
    wanted = np.array(json.loads(text), np.float64)
    assert array.shape == wanted.shape
    np.testing.assert_array_equal(array, wanted)
    # Python and orjson read -0 as an integer, which has no sign.
    signed = np.signbit(array) == np.signbit(wanted)
    assert signed.all()


@given(any_lists(), st.booleans())
def test_whatever_is_taken_is_json_and_regular(text: str, quick: bool) -> None:  # noqa: FBT001
    array = taken(f'{{"a":{text}}}', quick=quick)
    if array is not None:
        np.testing.assert_array_equal(array, np.array(json.loads(text), np.float64))


@pytest.mark.parametrize(
    "text",
    ["[[1],[2,3]]", "[[1,2],3]", "[1,[2]]", "[[],[]]", "[[[1]],[2]]", "[[1],[[2]]]", "[[1,2],[]]",
     "[[],[1,2]]", "[[1],[]]", "[]", "[[[1],[2]],[[3]]]", "[" * 9 + "1" + "]" * 9],
)  # fmt: skip
def test_ragged_empty_and_deep_lists_are_left_alone(text: str) -> None:
    assert taken(f'{{"a":{long_(text)}}}') is None


@pytest.mark.parametrize(
    "text",
    ['{"a":LIST', '{"a":LIST]', '["LIST"]', '{"a\\u0062":LIST}', '{"a":LIST,"b":LIST1}',
     '{"a":"x"' + ',"b":""' * 300 + ',"a":LIST}', '"LIST', '{"a":[LIST,{}]}', "{}"],
)  # fmt: skip
def test_odd_texts_are_left_alone_or_left_unsound(text: str) -> None:
    parts = cut(text.replace("LIST", long_("[1]")).encode())
    if parts is not None:
        with pytest.raises(orjson.JSONDecodeError):
            orjson.loads(parts.text)


def test_short_lists_and_lists_in_strings_stay_where_they_are() -> None:
    text = f'{{"s":"{long_("[1]")}","a":[1,2],"b":{long_("[3]")}}}'
    parts = cut(text.encode())
    assert parts is not None
    document = orjson.loads(parts.text)
    assert document["s"] == long_("[1]")
    assert document["a"] == [1, 2]
    assert parts.take(document["a"]) is None
    assert parts.take(document["s"]) is None
    found = parts.take(document["b"])
    assert found is not None
    assert found.array.tolist() == [3]
    assert parts.take(document["b"]) is None


def test_a_string_cannot_pass_for_a_list() -> None:
    """The mark is written with a backslash, and a text that has one is left alone."""
    assert cut(f'{{"a":"\\u00000","b":{long_("[3]")}}}'.encode()) is None
    parts = cut(f'{{"a":"\0000","b":{long_("[3]")}}}'.encode())
    assert parts is not None
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(parts.text)


@pytest.mark.parametrize("sign", ["", "-"])
@pytest.mark.parametrize(
    ("number", "is_quick"),
    [("0.12345678901234567", True), ("1.2345678901234567e-05", True), ("1e5", True),
     ("0.0000012345678901234567", True), ("123456789012345680000", True), ("1.25E+300", True),
     ("9007199254740993.000000000", False), ("2.470328229206232720e-324", False),
     ("1.7976931348623157080e308", False), ("0." + "0" * 30 + "1", False)],
)  # fmt: skip
def test_numbers_of_too_many_digits_are_not_quick(number: str, sign: str, is_quick: bool) -> None:  # noqa: FBT001
    for text in (f"[1,{sign}{number},2]", f"[{sign}{number}]", f"[1e1,2.5,{sign}{number}]"):
        big = "123456789012345680000" in number  # beyond 64 bits
        assert (taken(f'{{"a":{long_(text)}}}') is None) is big
        assert (taken(f'{{"a":{long_(text)}}}', quick=True) is not None) is (is_quick and not big)


@given(regular_lists())
def test_types_take_what_they_can_hold_and_nothing_else(text: str) -> None:
    parts = cut(text.encode())
    if parts is None:
        return
    numbers = parts.take(orjson.loads(parts.text))
    assert numbers is not None
    exact = np.array(json.loads(text), object)
    for datatype, dtype in DTYPES.items():
        array = numbers.as_type(datatype)
        if dtype.kind not in "iuf" or datatype in ("FP16", "BF16"):
            assert array is None
        elif array is not None:
            assert (array.dtype, array.shape) == (dtype, exact.shape)
            if dtype.kind in "iu":
                assert all(type(one) is int for one in exact.ravel().tolist())
                assert array.tolist() == exact.tolist()
            else:
                with np.errstate(over="ignore"):
                    wanted = np.array(exact, np.float64).astype(dtype)
                np.testing.assert_array_equal(array, wanted)
        else:
            assert dtype.kind in "iu"
            limits = np.iinfo(datatype.lower())
            low, high = limits.min, limits.max
            assert not all(
                type(one) is int and low <= one <= high and abs(one) < 2**53
                for one in exact.ravel().tolist()
            )


def test_a_large_text_costs_no_python_objects() -> None:
    array = np.random.default_rng(3).standard_normal((2, 3, 50), np.float32)
    text = orjson.dumps({"a": array}, option=orjson.OPT_SERIALIZE_NUMPY)
    assert len(text) < LONG_BYTES or taken(text.decode()).shape == array.shape
    big = np.concatenate([array] * 20)
    back = taken(orjson.dumps({"a": big}, option=orjson.OPT_SERIALIZE_NUMPY).decode())
    np.testing.assert_array_equal(back.astype(np.float32), big)
    assert math.isfinite(back.sum())
