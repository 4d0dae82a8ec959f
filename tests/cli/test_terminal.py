"""Numbers carry a unit, and a file gets neither colour nor symbols."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli.terminal import Terminal, milliseconds, percent, seconds, table


class FakeTty(io.StringIO):
    """A file that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_file_gets_plain_words() -> None:
    """No escape sequence, no symbol, no live line."""
    stream = io.StringIO()
    terminal = Terminal(stream, {})
    terminal.status("working")
    terminal.say(f"{terminal.tick} {terminal.red('bad')} {terminal.cross}")
    assert stream.getvalue() == "ok bad FAILED\n"


def test_a_terminal_s_live_line_gives_way_to_the_next_line() -> None:
    """It is erased before anything else is written."""
    stream = FakeTty()
    terminal = Terminal(stream, {"TERM": "xterm"})
    terminal.status("working")
    terminal.say(terminal.green("done"))
    assert stream.getvalue() == "\r\x1b[K working\r\x1b[K\x1b[32mdone\x1b[0m\n"


@pytest.mark.parametrize(
    ("environment", "expected"), [({"NO_COLOR": "1"}, "✓ x"), ({"TERM": "dumb"}, "ok x")]
)
def test_colour_can_be_turned_off(environment: dict[str, str], expected: str) -> None:
    """NO_COLOR keeps symbols; a dumb terminal gets words."""
    terminal = Terminal(FakeTty(), environment)
    assert f"{terminal.tick} {terminal.bold('x')}" == expected


def test_numbers_line_up_on_the_right() -> None:
    """The first column is flush left."""
    assert table(["arm", "p50"], [["tf", "9 ms"], ["torch", "12 ms"]]) == [
        "arm      p50",
        "tf      9 ms",
        "torch  12 ms",
    ]


@pytest.mark.parametrize(
    ("value_s", "expected"),
    [
        (0.0004199, "0.42 ms"),
        (0.00372, "3.7 ms"),
        (0.0584, "58 ms"),
        (2.5, "2,500 ms"),
        (None, "–"),
    ],
)
def test_milliseconds_have_about_three_digits(value_s: float | None, expected: str) -> None:
    """More would be noise."""
    assert milliseconds(value_s) == expected


def test_long_waits_are_told_in_minutes() -> None:
    """From two minutes on."""
    assert [seconds(0.44), seconds(119.96), seconds(200.9)] == ["0.4 s", "120.0 s", "3 min 20 s"]


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [(1.0, "100 %"), (0.99999, "99.9 %"), (0.0, "0 %"), (0.00001, "0.1 %"), (0.125, "12.5 %")],
)
def test_percent_never_rounds_to_all_or_nothing(ratio: float, expected: str) -> None:
    """99.999 % of the same answers are not all of them."""
    assert percent(ratio) == expected


@given(st.floats(0, 1), st.integers(0, 3))
def test_only_the_ends_are_shown_as_the_ends(ratio: float, digits: int) -> None:
    """For any ratio and precision."""
    shown = percent(ratio, digits)
    assert (shown == "100 %") == (ratio == 1)
    assert (shown == "0 %") == (ratio == 0)
