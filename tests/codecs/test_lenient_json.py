"""Does the lenient reader read all JSON, what RapidJSON reads besides, and nothing else?"""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.codecs.lenient_json import MAX_DEPTH, read_json
from gateway.errors import InvalidRequest

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text()
)
documents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(documents, st.booleans(), st.sampled_from((None, 1, "\t")))
@example([1.5, math.inf, -math.inf], True, None)  # noqa: FBT003 - strategies have no names
def test_what_python_writes_is_read(document: Any, ascii_only: bool, indent: Any) -> None:  # noqa: FBT001
    text = json.dumps(document, ensure_ascii=ascii_only, indent=indent)
    assert read_json(text.encode("utf-8", "surrogatepass")) == document


@given(st.text(alphabet='[]{}:,"\\ntfaulrse0123456789.+-eENIifyu \n\0'))
@example("[NaN,null]")
@example("[-NaN]")
@example("[Inf inity]")
@example("[1NaN]")
@example('{"a":1,}')
@example("[1e" + "9" * 5000 + "]")
@example("9" * 5000)
def test_any_text_is_read_or_refused_in_one_sentence(text: str) -> None:
    try:
        read_json(text.encode())
    except InvalidRequest as error:
        assert error.message.startswith("JSON Parse error: ")  # noqa: PT017 - both outcomes are right


@given(st.text(alphabet='[]{}:,"\\ ntfaulrse0123456789.+-eE'))
def test_what_a_strict_reader_takes_is_taken_with_the_same_value(text: str) -> None:
    try:
        strict = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return
    if "inf" not in repr(strict):  # beyond a double: refused, as RapidJSON does
        got = read_json(text.encode())
        assert got == strict or _has_large_integer(strict) or _has_duplicates(text)


def _refuse(_: str) -> Any:
    raise ValueError


def _has_large_integer(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_large_integer, value.values()))
    if isinstance(value, list):
        return any(map(_has_large_integer, value))
    return isinstance(value, int) and not -(2**63) <= value < 2**64


def _has_duplicates(text: str) -> bool:
    def count(pairs: list[tuple[str, object]]) -> bool:
        found.append(len(pairs) != len(dict(pairs)))
        return True

    found: list[bool] = []
    json.loads(text, object_pairs_hook=count)
    return any(found)


@given(st.lists(st.sampled_from([1.5, -2.0, math.nan, math.inf, -math.inf, True, 3]), min_size=1))
def test_special_numbers_are_read_at_either_speed(numbers: list[float]) -> None:
    text = json.dumps(numbers)
    fast = read_json(text.encode())
    slow = read_json(json.dumps([*numbers, "text"]).encode())
    assert isinstance(slow, list)
    assert repr(fast) == repr(numbers) == repr(slow[:-1])


READ = {
    b"\xef\xbb\xbf[1]": [1],
    b"[1]\0trailing": [1],
    b"{} {}": {},
    b'{"a":1,"a":2}': {"a": 1},
    b"[NaN,null]": [math.nan, None],
    b"[-Inf,Infinity,-Infinity,Inf]": [-math.inf, math.inf, -math.inf, math.inf],
    b"18446744073709551616": 2.0**64,
    b"-9223372036854775809": -(2.0**63),
    b"[-0,-0.0]": [0, -0.0],
    b"1.7976931348623159e308": math.inf,
    b"1e-999": 0.0,
    b'"\\ud83d\\ude00\\u00e9"': "😀é",
    b'"\\b\\f\\n\\r\\t\\/\\\\\\""': '\b\f\n\r\t/\\"',
    b'"\xff"': "\udcff",
    b'"\\udc80"': "\udced\udcb2\udc80",
}


@pytest.mark.parametrize("text", READ)
def test_what_rapidjson_takes_beyond_json_is_read(text: bytes) -> None:
    assert repr(read_json(text)) == repr(READ[text])


REFUSED = {
    b"": "The document is empty",
    b" ": "The document is empty. at offset: 1",
    b"\0{}": "The document is empty. at offset: 0",
    b"{": "Missing a name for object member. at offset: 1",
    b'{"a":1,}': "Missing a name for object member. at offset: 7",
    b'{"a" 1}': "Missing a colon after a name of object member. at offset: 5",
    b'{"a":}': "Invalid value. at offset: 5",
    b'{"a":1 "b":2}': "Missing a comma or '}' after an object member. at offset: 7",
    b"[1,]": "Invalid value. at offset: 3",
    b"[1 2]": "Missing a comma or ']' after an array element. at offset: 3",
    b"[1": "Missing a comma or ']' after an array element. at offset: 2",
    b"nul": "Invalid value. at offset: 3",
    b"Infinite": "Invalid value. at offset: 7",
    b"Nan": "Invalid value. at offset: 2",
    b"-": "Invalid value. at offset: 1",
    b"+1": "Invalid value. at offset: 0",
    b"1.": "Miss fraction part in number. at offset: 2",
    b"1e+": "Miss exponent in number. at offset: 3",
    b"[1e400]": "Number too big to be stored in double. at offset: 1",
    b"1" + b"0" * 400: "Number too big to be stored in double. at offset: 0",
    b'"a': "Missing a closing quotation mark in string. at offset: 2",
    b'"a\nb"': "Invalid escape character in string. at offset: 2",
    b'"\\x"': "Invalid escape character in string. at offset: 1",
    b'"\\u12g4"': "Incorrect hex digit after \\u escape in string. at offset: 1",
    b'"\\ud800"': "The surrogate pair in string is invalid. at offset: 1",
    b'"\\ud800\\u0041"': "The surrogate pair in string is invalid. at offset: 1",
}


@pytest.mark.parametrize("text", REFUSED)
def test_errors_name_the_place_where_reading_stopped(text: bytes) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_json(text)
    assert refused.value.message == f"JSON Parse error: {REFUSED[text]}"


@pytest.mark.parametrize("text", [b"[" * 500_000, b'{"a":' * 500_000])
def test_deep_nesting_needs_no_stack(text: bytes) -> None:
    with pytest.raises(InvalidRequest, match=f"Invalid value. at offset: {len(text)}"):
        read_json(text)


def test_nesting_is_bounded() -> None:
    with pytest.raises(InvalidRequest, match=f"More than {MAX_DEPTH} values are nested"):
        read_json(b"[" * (MAX_DEPTH + 1))


@pytest.mark.parametrize("depth", [1, 2, 7, 100_000])
def test_lists_that_begin_and_end_together_are_read_as_others_are(depth: int) -> None:
    text = b"[" * depth + b"7" + b"]" * depth
    spaced = b"[" * depth + b" 7 " + b"]\n" * depth
    for value in (read_json(text), read_json(spaced), read_json(b'{"k":' + text + b"}")["k"]):  # type: ignore[index]  # an object
        found, levels = value, 0
        while isinstance(found, list):
            (found,) = found
            levels += 1
        assert (levels, found) == (depth, 7)


@pytest.mark.parametrize("text", [b"[[1],[2,[]],[[3]]]", b'[[{"a":[[]]}]]', b"[[[]],[[]]]]]"])
def test_lists_may_end_apart(text: bytes) -> None:
    first_value = text[:-2] if text.endswith(b"]]]]]") else text
    assert read_json(text) == json.loads(first_value)
