"""JSON texts of lists of numbers, sound and unsound, long enough to be read as such."""

from __future__ import annotations

from hypothesis import strategies as st

from gateway.codecs.json_numbers import LONG_BYTES

__all__ = ["TOKENS", "any_lists", "long_", "regular_lists"]

TOKENS = (
    *("0", "1", "-1", "7", "127", "128", "-129", "255", "65536", "2147483648", "16777217"),
    *("9007199254740991", "9007199254740993", "9223372036854775807", "18446744073709551615"),
    *("18446744073709551616", "-0", "-0.0", "1.0", "1.5", "0.1", "1e5", "1E+2", "-2.5e-3"),
    *("1e39", "1e308", "1e-400", "5e-324", "3.4028235677973366e38", "0.1234567890123456789"),
)
_ODD_TOKENS = (
    *("1e400", "NaN", "Infinity", "-Infinity", "true", "false", "null", "01", "1.", ".5", "+1"),
    *("", "[]", "[1]", "{}", '{"a":1}', '"1"', '"\\u0000"', "1 2", "0x1", "--1", "]", "[", "}"),
    *("é", "\x00", "1e999999999999"),
)


def long_(listed: str) -> str:
    """The same list, with space in it."""
    return f"[{' ' * LONG_BYTES}{listed[1:]}"


def _nested(tokens: list[str], shape: list[int]) -> str:
    if not shape:
        return tokens.pop()
    return f"[{','.join([_nested(tokens, shape[1:]) for _ in range(shape[0])])}]"


@st.composite
def regular_lists(draw: st.DrawFn) -> str:
    """A list of lists of one shape, of numbers."""
    shape = draw(st.lists(st.integers(1, 3), min_size=1, max_size=4))
    count = 1
    for size in shape:
        count *= size
    number = st.one_of(
        st.sampled_from(TOKENS),
        st.integers(-300, 300).map(str),
        st.floats(allow_nan=False, allow_infinity=False).map(repr),
    )
    tokens = draw(st.lists(number, min_size=count, max_size=count))
    return long_(_nested(tokens, shape))


@st.composite
def any_lists(draw: st.DrawFn) -> str:
    """A list of lists of any kind, and sometimes of things that are no numbers, or no JSON."""
    leaf = st.sampled_from((*TOKENS, *_ODD_TOKENS)) if draw(st.booleans()) else st.just("1")
    lists = st.recursive(
        leaf, lambda inner: st.lists(inner, max_size=3).map(lambda parts: f"[{','.join(parts)}]")
    )
    return long_(f"[{','.join(draw(st.lists(lists, max_size=4)))}]")
