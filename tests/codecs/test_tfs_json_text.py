"""Are JSON values quoted in errors as RapidJSON's pretty writer prints them?"""

from __future__ import annotations

import math
from typing import Any

import pytest

from gateway.codecs.tfs_json_text import quote, type_name

QUOTED: list[tuple[Any, str]] = [
    (None, "null"),
    (True, "true"),
    (False, "false"),
    (0, "0"),
    (-5, "-5"),
    ([], "[]"),
    ({}, "{}"),
    ([1, [2.0, "a"], {}], '[1, [2.0, "a"], {}]'),
    ({"a": {"b": [1]}, "c": []}, '{\n    "a": {\n        "b": [1]\n    },\n    "c": []\n}'),
    ([{"a": 1}], '[{\n        "a": 1\n    }]'),
    ('"\\\x1f\x7f\té', '"\\"\\\\\\u001F\x7f\\té"'),
    ("\udcff", '"\ufffd"'),
    (-0.0, "-0.0"),
    (1e6, "1000000.0"),
    (1e20, "100000000000000000000.0"),
    (1e21, "1e21"),
    (1.5e300, "1.5e300"),
    (0.1, "0.1"),
    (123.456, "123.456"),
    (1e-6, "0.000001"),
    (1e-7, "1e-7"),
    (math.nan, ""),
    ([1, math.inf, 2], "[1, "),
    ({"a": math.nan, "b": 1}, '{\n    "a": '),
]


@pytest.mark.parametrize(("value", "text"), QUOTED)
def test_values_are_quoted_as_rapidjson_prints_them(value: Any, text: str) -> None:
    assert quote(value) == text


def test_the_piece_that_makes_it_long_enough_is_the_last() -> None:
    assert quote([1] * 1000) == "[" + ", ".join(["1"] * 86)
    assert quote([["a" * 300], 1]) == '[["' + "a" * 300 + '"'


def test_a_very_long_string_is_cut() -> None:
    assert quote("a" * 100_000) == '"' + "a" * 4096 + '"'
    assert len(quote({"k" * 100_000: 1})) < 5000


def test_a_very_deep_value_costs_what_is_quoted() -> None:
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    assert quote(deep) == "[" * 256


def test_every_type_has_rapidjsons_name() -> None:
    values: list[Any] = [None, True, False, 1, 1.5, "a", [], {}]
    names = ["Null", "True", "False", "Number", "Number", "String", "Array", "Object"]
    assert list(map(type_name, values)) == names
