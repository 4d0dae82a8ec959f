"""What does TF Serving read in a JSON text that a strict parser refuses, and what does it say of a bad one?

TF Serving reads JSON with RapidJSON 1.1 in its iterative mode. Against RFC 8259 that means:

- `NaN`, `Inf`, `Infinity` and their negatives are numbers; a literal beyond the range of a double is an
  error, an integer beyond 64 bits is a double;
- a byte order mark is skipped, and whatever follows the first complete value is not looked at;
- of duplicate keys the first one counts;
- strings may hold bytes that are not UTF-8, which stay as they are (here: surrogate escapes);
- errors are one of a dozen sentences, with the byte offset at which reading stopped.

This reader runs only where the fast one failed or could not tell. Its time and memory are linear in the
text, whatever the nesting: containers are kept on a list of its own, not on Python's stack.
"""

from __future__ import annotations

import math
import re
from typing import NoReturn, cast

import orjson

from gateway.codecs.flat_lists import loads_flat
from gateway.errors import InvalidRequest

__all__ = ["read_json"]

MAX_DEPTH = 1_000_000
"""Open containers at a time; TF Serving has no bound, and dies of its stack far below this one."""

_BOM = b"\xef\xbb\xbf"
_NOT_A_START = frozenset((b"", b"\0", b"]", b"}", b",", b":"))
_SPACE = re.compile(rb"[ \t\n\r]*")
_OPENINGS = re.compile(rb"\[*(?=\[)")
_CLOSINGS = re.compile(rb"\]*")
_FLAT_ARRAY = re.compile(rb'\[[^][{}"]*\]')
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_PLAIN = re.compile(rb'[^"\\\x00-\x1f]*')
_HEX4 = re.compile(rb"[0-9a-fA-F]{4}")
_ESCAPES = {
    b'"': b'"',
    b"\\": b"\\",
    b"/": b"/",
    b"b": b"\b",
    b"f": b"\f",
    b"n": b"\n",
    b"r": b"\r",
    b"t": b"\t",
}
_LITERALS: dict[bytes, tuple[bytes, object]] = {
    b"n": (b"null", None),
    b"t": (b"true", True),
    b"f": (b"false", False),
}
_MAX_INT_DIGITS = 21  # longer ones are beyond 64 bits, and Python refuses to read very long ones
_INT64_MIN, _UINT64_MAX = -(2**63), 2**64 - 1
_MAX_EXPONENT, _MAX_EXPONENT_CHARS = 308, 8
_UNFINISHED = object()


def read_json(text: bytes, *, last_wins_inside: bool = False) -> object:
    """Read the first JSON value of `text`.

    With `last_wins_inside`, the first of duplicate keys counts in the outermost object only; further in it
    is the last, as in TF Serving's examples.

    Raises:
        InvalidRequest: TF Serving's sentence and the byte offset.
    """
    if not text:
        raise InvalidRequest("JSON Parse error: The document is empty")
    return _Reader(text, last_wins_inside=last_wins_inside).read()


class _Reader:
    """One pass over one text.

    `at` is the next byte to look at. `opened` holds the containers that are not complete, outermost
    first; `keys` holds, for each object among them, the key whose value is being read.
    """

    __slots__ = ("at", "keys", "last_wins_inside", "opened", "text")

    def __init__(self, text: bytes, *, last_wins_inside: bool) -> None:
        self.text = text
        self.last_wins_inside = last_wins_inside
        self.at = len(_BOM) if text.startswith(_BOM) else 0
        self.opened: list[list[object] | dict[str, object]] = []
        self.keys: list[str] = []

    def read(self) -> object:
        if self._skip_space() in _NOT_A_START:
            self._fail("The document is empty.", self.at)
        value = self._read_value()
        while self.opened:
            value = self._read_value() if value is _UNFINISHED else self._attach(value)
        return value

    def _skip_space(self) -> bytes:
        """Move to the next byte that is not white space and return it, b"" at the end."""
        match = cast("re.Match[bytes]", _SPACE.match(self.text, self.at))  # an empty one if need be
        self.at = match.end()
        return self.text[self.at : self.at + 1]

    def _read_value(self) -> object:
        """Read a scalar or a container, or open a container that has something in it."""
        start = self.text[self.at : self.at + 1]
        if start == b"{":
            return self._open({}, b"}")
        if start == b"[":
            self._open_lists()
            flat = self._read_flat_array()
            return self._open([], b"]") if flat is None else flat
        if start == b'"':
            return self._read_string()
        literal = _LITERALS.get(start)
        return self._read_number() if literal is None else self._read_literal(*literal)

    def _open_lists(self) -> None:
        """Open the lists that begin with another list: a hostile text has half a million of them."""
        match = cast("re.Match[bytes]", _OPENINGS.match(self.text, self.at))
        count = min(match.end() - self.at, MAX_DEPTH - len(self.opened))
        self.opened.extend([[] for _ in range(count)])
        self.at += count

    def _close(self) -> object:
        """The container that ends here, or the outermost of the lists around it that end with it."""
        end = cast("re.Match[bytes]", _CLOSINGS.match(self.text, self.at)).end()
        value = self.opened.pop()
        self.at += 1
        while self.at < end and self.opened and isinstance(around := self.opened[-1], list):
            around.append(value)
            value = self.opened.pop()
            self.at += 1
        return value

    def _open(self, container: list[object] | dict[str, object], closing: bytes) -> object:
        self.at += 1
        if self._skip_space() == closing:
            self.at += 1
            return container
        if len(self.opened) == MAX_DEPTH:
            self._fail(f"More than {MAX_DEPTH} values are nested.", self.at)
        self.opened.append(container)
        if isinstance(container, dict):
            self._read_key()
        return _UNFINISHED

    def _attach(self, value: object) -> object:
        """Put a complete value into its container; the container, if that completes it."""
        container = self.opened[-1]
        following = self._skip_space()
        if isinstance(container, dict):
            if self.last_wins_inside and len(self.opened) > 1:
                container[self.keys.pop()] = value
            else:
                container.setdefault(self.keys.pop(), value)
            closing, missing = b"}", "Missing a comma or '}' after an object member."
        else:
            container.append(value)
            closing, missing = b"]", "Missing a comma or ']' after an array element."
        if following == closing:
            return self._close()
        if following != b",":
            self._fail(missing, self.at)
        self.at += 1
        self._skip_space()
        if isinstance(container, dict):
            self._read_key()
        return _UNFINISHED

    def _read_key(self) -> None:
        if self._skip_space() != b'"':
            self._fail("Missing a name for object member.", self.at)
        self.keys.append(self._read_string())
        if self._skip_space() != b":":
            self._fail("Missing a colon after a name of object member.", self.at)
        self.at += 1
        self._skip_space()

    def _read_flat_array(self) -> object:
        """A list of scalars without strings at the fast reader's speed; None where it is not one."""
        match = _FLAT_ARRAY.match(self.text, self.at)
        if match is None:
            return None
        try:
            value = loads_flat(match.group())
        except orjson.JSONDecodeError:
            return None
        self.at = match.end()
        return value

    def _read_literal(self, word: bytes, value: object) -> object:
        self._expect(word)
        return value

    def _expect(self, word: bytes) -> None:
        for byte in word:
            if self.text[self.at : self.at + 1] != bytes((byte,)):
                self._fail("Invalid value.", self.at)
            self.at += 1

    def _read_number(self) -> int | float:
        start = self.at
        match = _NUMBER.match(self.text, start)
        if match is None:
            return self._read_special()
        self.at = match.end()
        following = self.text[self.at : self.at + 1]
        if following == b"." and match[1] is None and match[2] is None:
            self._fail("Miss fraction part in number.", self.at + 1)
        if following in (b"e", b"E") and match[2] is None:
            signed = self.text[self.at + 1 : self.at + 2] in (b"+", b"-")
            self._fail("Miss exponent in number.", self.at + 1 + signed)
        token = match.group()
        if match.lastindex is None and len(token) <= _MAX_INT_DIGITS:
            number = int(token)
            if _INT64_MIN <= number <= _UINT64_MAX:
                return number
        value = float(token)
        if math.isinf(value) and _is_too_big(match[1] or b".", match[2]):
            self._fail("Number too big to be stored in double.", start)
        return value

    def _read_special(self) -> float:
        negative = self.text[self.at : self.at + 1] == b"-"
        self.at += negative
        if self.text[self.at : self.at + 1] == b"N":
            self._expect(b"NaN")
            return math.nan
        self._expect(b"Inf")
        if self.text[self.at : self.at + 1] == b"i":
            self._expect(b"inity")
        return -math.inf if negative else math.inf

    def _read_string(self) -> str:
        self.at += 1
        parts = []
        while True:
            match = cast(
                "re.Match[bytes]", _PLAIN.match(self.text, self.at)
            )  # an empty one if need be
            parts.append(match.group())
            self.at = match.end()
            stop = self.text[self.at : self.at + 1]
            if stop == b'"':
                self.at += 1
                return b"".join(parts).decode("utf-8", "surrogateescape")
            if stop != b"\\":
                self._fail_in_string(stop)
            parts.append(self._read_escape())

    def _fail_in_string(self, stop: bytes) -> NoReturn:
        if stop in (b"", b"\0"):
            self._fail("Missing a closing quotation mark in string.", self.at)
        self._fail("Invalid escape character in string.", self.at)

    def _read_escape(self) -> bytes:
        start = self.at
        letter = self.text[start + 1 : start + 2]
        self.at += 2
        if letter != b"u":
            if letter not in _ESCAPES:
                self._fail("Invalid escape character in string.", start)
            return _ESCAPES[letter]
        code = self._read_hex4(start)
        if 0xD800 <= code <= 0xDBFF:  # noqa: PLR2004 - the first half of a surrogate pair
            if self.text[self.at : self.at + 2] != b"\\u":
                self._fail("The surrogate pair in string is invalid.", start)
            self.at += 2
            low = self._read_hex4(start)
            if not 0xDC00 <= low <= 0xDFFF:  # noqa: PLR2004 - the second half
                self._fail("The surrogate pair in string is invalid.", start)
            code = 0x10000 + ((code - 0xD800) << 10 | (low - 0xDC00))
        return chr(code).encode("utf-8", "surrogatepass")

    def _read_hex4(self, start: int) -> int:
        match = _HEX4.match(self.text, self.at)
        if match is None:
            self._fail("Incorrect hex digit after \\u escape in string.", start)
        self.at = match.end()
        return int(match.group(), 16)

    def _fail(self, sentence: str, offset: int) -> NoReturn:
        raise InvalidRequest(f"JSON Parse error: {sentence} at offset: {offset}")


def _is_too_big(fraction: bytes, exponent: bytes | None) -> bool:
    """Whether RapidJSON refuses a number beyond a double; it reads a few just beyond as infinite."""
    if exponent is None or len(exponent) > _MAX_EXPONENT_CHARS:
        return True
    return int(exponent[1:]) > _MAX_EXPONENT + len(fraction) - 1
