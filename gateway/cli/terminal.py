"""How is something told to a person at a terminal, and how to a file?

A terminal gets colour, symbols and one live line at the bottom; a file or a pipe gets the same words and
none of these. `NO_COLOR` (any value) turns colour off. The pure parts lay out tables and round numbers.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TextIO

__all__ = ["CommandError", "Terminal", "milliseconds", "percent", "seconds", "table"]

_GAP = "  "


class CommandError(Exception):
    """A command cannot go on; its text is for the person who typed it. `status` is the exit status."""

    def __init__(self, message: str, *, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


class Terminal:
    """Where a command writes. Invariant: at most one live line is shown, and it is the last one."""

    def __init__(self, stream: TextIO, environment: Mapping[str, str] = os.environ) -> None:
        self.stream = stream
        self.is_live = stream.isatty() and environment.get("TERM") != "dumb"
        self._has_colour = self.is_live and not environment.get("NO_COLOR")
        self._has_status = False

    def say(self, text: str = "") -> None:
        """Write a line (or several)."""
        self.end_status()
        self.stream.write(f"{text}\n")
        self.stream.flush()

    def field(self, name: str, text: str) -> None:
        """Write a line of a report: what it is about on the left, in a column of its own."""
        self.say(f" {self.dim(f'{name:<14}')} {text}")

    def status(self, text: str) -> None:
        """Replace the live line; nothing where there is none."""
        if self.is_live:
            self.stream.write(f"\r\x1b[K {text}")
            self.stream.flush()
            self._has_status = True

    def end_status(self) -> None:
        """Take the live line away."""
        if self._has_status:
            self.stream.write("\r\x1b[K")
            self.stream.flush()
            self._has_status = False

    @property
    def tick(self) -> str:
        """Marks what is well."""
        return self.green("✓") if self.is_live else "ok"

    @property
    def cross(self) -> str:
        """Marks what is not."""
        return self.red("✗") if self.is_live else "FAILED"

    def bold(self, text: str) -> str:
        """For headings."""
        return self._coloured(text, 1)

    def dim(self, text: str) -> str:
        """For what is read second."""
        return self._coloured(text, 2)

    def red(self, text: str) -> str:
        """For what went wrong."""
        return self._coloured(text, 31)

    def green(self, text: str) -> str:
        """For what went well."""
        return self._coloured(text, 32)

    def _coloured(self, text: str, code: int) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._has_colour else text


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> list[str]:
    """Lines of a table: the first `left` columns flush left, the others (numbers) flush right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = []
    for row in (head, *rows):
        cells = [
            cell.ljust(width) if index < left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(_GAP.join(cells).rstrip())
    return lines


def milliseconds(value_s: float | None) -> str:
    """Seconds as milliseconds with about three digits: `0.42 ms`, `3.7 ms`, `58 ms`; `–` for None."""
    if value_s is None:
        return "–"
    value_ms = value_s * 1e3
    digits = 2 if value_ms < 1 else 1 if value_ms < 10 else 0  # noqa: PLR2004 - powers of ten
    return f"{value_ms:,.{digits}f} ms"


def seconds(value_s: float) -> str:
    """A waiting time: `0.4 s`, `12.3 s`, `3 min 20 s`."""
    minute = 60
    if value_s < 2 * minute:
        return f"{value_s:.1f} s"
    return f"{int(value_s // minute)} min {int(value_s % minute)} s"


def percent(ratio: float | None, digits: int = 1) -> str:
    """A ratio as a percentage, `–` for None. Only exactly 1 becomes 100 %, and only 0 becomes 0 %."""
    if ratio is None:
        return "–"
    text = f"{ratio * 100:.{digits}f}"
    least = 10.0**-digits
    if ratio < 1 and float(text) >= 100:  # noqa: PLR2004 - per cent
        text = f"{100 - least:.{digits}f}"
    if ratio > 0 and float(text) == 0:
        text = f"{least:.{digits}f}"
    return f"{text.removesuffix('.' + '0' * digits)} %"
