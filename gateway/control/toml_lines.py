"""On which line of a TOML file does each key stand?

`tomllib` gives values without positions, and an error message without a line sends a person searching.
This scanner reads text that `tomllib` has already accepted, so it does not check the grammar again: it
only follows the parts that decide where a key is (headers, dotted keys, inline tables, arrays, strings).
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from collections.abc import Mapping

__all__ = ["Place", "line_of", "lines"]

Place = tuple[str | int, ...]

_BLANK = re.compile(r"(?:[\s,]|#[^\n]*)*")
_KEY_PART = re.compile(r"""[ \t]*(?:(?P<bare>[A-Za-z0-9_-]+)|"(?:[^"\\]|\\.)*"|'[^']*')[ \t]*""")
# A closing delimiter of a multi-line string may have up to two quotes of the string itself before it.
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}' r"|'''(?:.)*?'{3,5}" r'|"(?:[^"\\]|\\.)*"' r"|'[^']*'", re.DOTALL
)
# A date and its time may be parted by a space; every other bare value ends at one.
_BARE = re.compile(r"\d{4}-\d\d-\d\d [0-9:.+\-Zz]+|[^\s,\]}#]+")


def lines(text: str) -> Mapping[Place, int]:
    """The line (from 1) where each key and array element of a valid TOML text first appears."""
    return _Scanner(text).scan()


def line_of(index: Mapping[Place, int], place: Place) -> int | None:
    """The line of a place, or of the nearest place around it (where a missing key would belong)."""
    for length in range(len(place), 0, -1):
        if place[:length] in index:
            return index[place[:length]]
    return None


class _Scanner:
    """One pass over the text. Invariant: `at` only grows, and points between two tokens."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.found: dict[Place, int] = {}
        self.tables: dict[Place, int] = {}  # arrays of tables and the index of their newest element
        self.starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def scan(self) -> Mapping[Place, int]:
        table: Place = ()
        while self._peek():
            if self.text[self.at] == "[":
                table = self._header()
            else:
                self._pair(table)
        return self.found

    def _peek(self) -> str:
        """Skip blanks, comments and commas; the next character, "" at the end."""
        self.at = self._match(_BLANK).end()
        return self.text[self.at : self.at + 1]

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str]:
        match = pattern.match(self.text, self.at)
        if match is None:
            raise ValueError(f"not TOML at character {self.at}")
        return match

    def _record(self, place: Place) -> None:
        line = bisect_right(self.starts, self.at)
        for length in range(1, len(place) + 1):
            self.found.setdefault(place[:length], line)

    def _header(self) -> Place:
        is_array = self.text.startswith("[[", self.at)
        start = self.at
        self.at += 2 if is_array else 1
        key = self._key()
        end = self.at + (2 if is_array else 1)
        place: Place = ()
        for part in key[:-1]:
            place = self._newest((*place, part))
        place = (*place, key[-1])
        if is_array:
            self.tables[place] = self.tables.get(place, -1) + 1
        place = self._newest(place)
        self.at = start
        self._record(place)
        # `[a]` after `[a.b]`: the table's own header tells more than its child's
        self.found[place] = bisect_right(self.starts, start)
        self.at = end
        return place

    def _newest(self, place: Place) -> Place:
        return (*place, self.tables[place]) if place in self.tables else place

    def _key(self) -> tuple[str, ...]:
        """A dotted key, at whose first part `at` stands; leaves `at` on the `=` or `]` after it."""
        parts: list[str] = []
        while True:
            match = self._match(_KEY_PART)
            parts.append(match["bare"] or _unquoted(match[0].strip()))
            self.at = match.end()
            if self.text[self.at] != ".":
                return tuple(parts)
            self.at += 1

    def _pair(self, table: Place) -> None:
        start = self.at
        place = (*table, *self._key())
        end = self.at + 1  # past the `=`
        self.at = start
        self._record(place)
        self.at = end
        self._value(place)

    def _value(self, place: Place) -> None:
        first = self._peek()
        if first == "[":
            self._array(place)
        elif first == "{":
            self._inline_table(place)
        else:
            self.at = self._match(_STRING if first in "\"'" else _BARE).end()

    def _array(self, place: Place) -> None:
        self.at += 1
        index = 0
        while self._peek() != "]":
            self._record((*place, index))
            self._value((*place, index))
            index += 1
        self.at += 1

    def _inline_table(self, place: Place) -> None:
        self.at += 1
        while self._peek() != "}":
            self._pair(place)
        self.at += 1


def _unquoted(quoted: str) -> str:
    return str(tomllib.loads(f"key = {quoted}")["key"])
