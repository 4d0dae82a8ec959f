"""Every key of a TOML file is found on the line where it stands."""

from __future__ import annotations

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from gateway.control.toml_lines import line_of, lines

TEXT = '''# a comment with key = 1 in it
title = "a \\" # quote"   # after
"quoted key" = 'literal # text'
a.b . "c d" = 1
when = 1979-05-27 07:32:00
long = """
[not.a.header]
x = 1 \\""" still""""
raw = \'\'\'
y = 2 \'\' \'\'\'

[models.iris]
inline = { arms = { tf = 1 }, list = [1,
  2, { deep = 3 },
] }
[[models.iris.shadow]]
arm = "a"
[[models.iris.shadow]]
arm = "b"
[models.iris.shadow.child]
key = 1
[models]
other = -0.5e3
'''


def test_each_kind_of_key_has_its_line() -> None:
    """Quoted, dotted, inline, multi-line and repeated tables are all followed."""
    index = lines(TEXT)
    expected = {
        ("title",): 2,
        ("quoted key",): 3,
        ("a", "b", "c d"): 4,
        ("when",): 5,
        ("long",): 6,
        ("raw",): 9,
        ("models", "iris"): 12,
        ("models", "iris", "inline", "arms", "tf"): 13,
        ("models", "iris", "inline", "list", 1): 14,
        ("models", "iris", "inline", "list", 2, "deep"): 14,
        ("models", "iris", "shadow", 0, "arm"): 17,
        ("models", "iris", "shadow", 1): 18,
        ("models", "iris", "shadow", 1, "arm"): 19,
        ("models", "iris", "shadow", 1, "child", "key"): 21,
        ("models",): 22,
        ("models", "other"): 23,
    }
    assert {place: index.get(place) for place in expected} == expected
    assert ("not",) not in index
    assert ("y",) not in index


def test_a_missing_key_is_blamed_on_the_table_it_belongs_to() -> None:
    """The nearest known place around it gives the line."""
    index = lines("[a]\n[a.b]\nc = 1\n")
    assert line_of(index, ("a", "b", "missing", 3)) == 2
    assert line_of(index, ("nowhere",)) is None


_KEYS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=6)
_SCALARS = st.one_of(
    st.integers(-(2**40), 2**40), st.booleans(), st.floats(allow_nan=False), st.text(max_size=5)
)


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_toml(str(k))} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[\n" + ",\n".join(_toml(element) for element in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(char):08x}" for char in value) + '"'
    return repr(value)


@given(
    st.dictionaries(
        _KEYS,
        st.recursive(
            _SCALARS,
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3),
            max_leaves=8,
        ),
        max_size=5,
    )
)
def test_every_key_that_tomllib_reads_is_found(tables: dict[str, object]) -> None:
    """The scanner and the parser see the same keys, and the lines of top-level keys are exact."""
    text, expected = "", {}
    for key, value in tables.items():
        expected[key,] = text.count("\n") + 1
        text += f"{_toml(key)} = {_toml(value)}\n"
    assert tomllib.loads(text) == tables
    index = lines(text)
    assert {place: line for place, line in index.items() if len(place) == 1} == expected
    assert set(index) == set(_places(tables, ()))


def _places(value: object, place: tuple[str | int, ...]) -> list[tuple[str | int, ...]]:
    pairs: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        pairs = list(value.items())
    elif isinstance(value, list):
        pairs = list(enumerate(value))
    found = [place] if place else []
    for part, inner in pairs:
        found += _places(inner, (*place, part))
    return found
