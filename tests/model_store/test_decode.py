"""JSON that fits a dataclass becomes it and comes back; anything else is a DecodeError with its place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_store.decode import DecodeError, decode, encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    number: float
    flag: bool
    word: Literal["red", "green"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    count: int
    name: str | None
    leaf: Leaf | None
    leaves: tuple[Leaf, ...]
    by_name: Mapping[str, Leaf]
    mixed: Mapping[str, str | int | float | bool]


FINITE = st.floats(allow_nan=False, allow_infinity=False)
LEAVES = st.builds(Leaf, number=FINITE, flag=st.booleans(), word=st.sampled_from(["red", "green"]))
TREES = st.builds(
    Tree,
    count=st.integers(),
    name=st.none() | st.text(),
    leaf=st.none() | LEAVES,
    leaves=st.lists(LEAVES, max_size=3).map(tuple),
    by_name=st.dictionaries(st.text(), LEAVES, max_size=3),
    mixed=st.dictionaries(
        st.text(), st.text() | st.integers() | FINITE | st.booleans(), max_size=3
    ),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | FINITE | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)

LEAF = {"number": 1, "flag": True, "word": "red"}


@given(TREES)
def test_what_is_encoded_is_decoded(tree: Tree) -> None:
    again = decode(Tree, json.loads(json.dumps(encode(tree))))
    assert again == tree
    assert {k: type(v) for k, v in again.mixed.items()} == {
        k: type(v) for k, v in tree.mixed.items()
    }


@given(JSON)
def test_no_other_exception_is_raised(value: object) -> None:
    with pytest.raises(DecodeError):
        decode(Tree, value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({**LEAF, "numbr": 1}, 'leaf.numbr: unknown key; did you mean "number"?'),
        ({**LEAF, "zzz": 1}, "leaf.zzz: unknown key, known are number, flag, word"),
        ({"number": 1, "flag": True}, "leaf.word: missing"),
        ({**LEAF, "flag": 1}, "leaf.flag: got 1, wanted true or false"),
        ({**LEAF, "number": True}, "leaf.number: got true, wanted a number"),
        ({**LEAF, "number": float("inf")}, "leaf.number: got Infinity, wanted a finite number"),
        ({**LEAF, "word": "blue"}, 'leaf.word: got "blue", wanted one of "red", "green"'),
        ({**LEAF, "word": "b" * 99}, '..., wanted one of "red", "green"'),
        ([], "leaf: got [], wanted an object"),
    ],
)
def test_an_error_names_the_place_what_was_got_and_what_was_wanted(
    value: object, message: str
) -> None:
    with pytest.raises(DecodeError) as caught:
        decode(Leaf, value, "leaf")
    assert message in str(caught.value)
