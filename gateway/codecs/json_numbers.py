r"""Which arrays do the long lists of numbers in a JSON text make, without a Python object for each number?

`cut` takes a text apart. Its long lists that hold nothing but numbers, and lists of numbers, become arrays
by way of simdjson, which writes numbers side by side into one buffer; what is left is a short text
with a mark in each one's place, for any other reader of JSON.

Rules:
- Whatever is not certainly right is not taken apart: None means "read the text in another way". So no
  error is raised here, and no reader has to agree with another one about what is wrong.
- A text with a backslash is left alone. Then quotation marks alternate, a list outside of strings is known
  for one, and no string can be a mark: those begin with an escaped NUL.
- Time is linear in the text: one to four nanoseconds a byte for what programs write. simdjson can be
  kept busy with numbers of more digits than a double has, two hundred nanoseconds a byte; who has no
  time for that asks to be `quick`, and then there are none.
"""

from __future__ import annotations

import contextvars
import math

import numpy as np
import simdjson

from gateway.tensors import DTYPES, Array, Datatype

__all__ = ["LONG_BYTES", "CutText", "Numbers", "cut"]

LONG_BYTES = 4096
"""A list is cut out from so many bytes; below about 3,000, orjson and numpy are faster."""

_MAX_STRINGS = 256  # in a text; more of them, and it is not about numbers
_MAX_RANK = 8  # of a list of lists
_NOT_STRUCTURE = b"0123456789+-.eE \t\r\n"
# Below a point are comma, signs and space. With these bits alone, the brackets are one; so are e and E.
_POINT, _BRACKET_BITS, _BRACKET, _E_BITS, _E = 0x2E, 0xF9, 0x59, 0xDF, 0x45
# A double has 17 digits; beside them are a point and, without exponent, up to five zeros. More than 19
# digits can take long, the more so with an exponent.
_QUICK_CHARACTERS, _QUICK_BEFORE_EXPONENT = 24, 19
_FLOATS = frozenset(("FP32", "FP64"))
_INTEGERS = frozenset(("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"))
_EXACT = 2**53  # integers below it are themselves as doubles
# numpy keeps what it says of overflow in a context variable; here it makes what is too large infinite.
_QUIET = contextvars.copy_context()
_QUIET.run(np.seterr, over="ignore")


class Numbers:
    """A list that was cut out.

    Attributes:
        array: FP64, in the shape that the lists are nested in; never empty.
    """

    __slots__ = ("_text", "array")

    def __init__(self, array: Array, text: bytes) -> None:
        self.array = array
        self._text = text

    def as_type(self, datatype: Datatype) -> Array | None:
        """The numbers as that type; None where one has no such form, or might have lost something."""
        array = self.array
        if datatype in _FLOATS:
            cast_: Array = _QUIET.copy().run(array.astype, DTYPES[datatype], copy=False)
            return cast_
        if datatype not in _INTEGERS or any(sign in self._text for sign in (b".", b"e", b"E")):
            return None
        limits = np.iinfo(datatype.lower())
        low, high = max(limits.min, 1 - _EXACT), min(limits.max, _EXACT - 1)
        if not low <= array.min() <= array.max() <= high:
            return None
        return array.astype(DTYPES[datatype])


class CutText:
    """What `cut` leaves of a text.

    Attributes:
        text: JSON, with marks for the lists. It is sound if and only if the whole text was.
    """

    __slots__ = ("_lists", "text")

    def __init__(self, text: bytes, lists: dict[str, Numbers]) -> None:
        self.text = text
        self._lists = lists

    @property
    def left(self) -> int:
        """How many of the lists were not taken yet."""
        return len(self._lists)

    def take(self, value: object) -> Numbers | None:
        """The list that a value of the text marks, once; None for any other value."""
        return self._lists.pop(value, None) if isinstance(value, str) else None


def cut(text: bytes, *, quick: bool = False) -> CutText | None:
    """The text without its long lists of numbers; None where there are none, or where it is unclear.

    With `quick`, a number with more digits than programs write is unclear too: it can take long.
    """
    if b"\\" in text:
        return None
    lists: dict[str, Numbers] = {}
    pieces: list[bytes] = []
    done = at = 0
    for _ in range(_MAX_STRINGS):
        quote = text.find(b'"', at)
        stop = len(text) if quote < 0 else quote
        if stop - at >= LONG_BYTES and (found := _list_between(text, at, stop)) is not None:
            start, end = found
            listed = text[start:end]
            numbers = None if quick and not _are_quick(listed) else _read(listed)
            if numbers is None:
                return None
            pieces += (text[done:start], b'"\\u0000%d"' % len(lists))
            lists[f"\0{len(lists)}"] = numbers
            done = end
        if quote < 0:
            break
        at = text.find(b'"', quote + 1) + 1
        if not at:
            return None
    else:
        return None
    return CutText(b"".join((*pieces, text[done:])), lists) if lists else None


def _list_between(text: bytes, at: int, stop: int) -> tuple[int, int] | None:
    """Where the first list in a stretch without strings begins, and where it ends if it is one."""
    start = text.find(b"[", at, stop)
    if start < 0:
        return None
    brace = text.find(b"}", start, stop)
    end = text.rfind(b"]", start, stop if brace < 0 else brace) + 1
    return (start, end) if end - start >= LONG_BYTES else None


def _are_quick(text: bytes) -> bool:
    """Whether no number in a list takes long to read."""
    codes = np.frombuffer(text, np.uint8)
    stops = np.flatnonzero((codes < _POINT) | ((codes & _BRACKET_BITS) == _BRACKET))
    if np.diff(stops).max(initial=0) > _QUICK_CHARACTERS + 1:
        return False
    if b"e" not in text and b"E" not in text:
        return True
    exponents = np.flatnonzero((codes & _E_BITS) == _E)
    before = stops[np.searchsorted(stops, exponents) - 1]
    return bool((exponents - before).max() <= _QUICK_BEFORE_EXPONENT + 1)


def _read(text: bytes) -> Numbers | None:
    try:
        found = simdjson.Parser().parse(text)
        assert isinstance(found, simdjson.Array), "the text begins with a bracket"
        array: Array = np.frombuffer(found.as_buffer(of_type="d"), np.float64)
    except (ValueError, TypeError, RuntimeError):  # no JSON, no numbers, too deep
        return None
    shape = _shape_of(text, array.size) if array.size else None
    return None if shape is None else Numbers(array.reshape(shape), text)


def _shape_of(text: bytes, size: int) -> tuple[int, ...] | None:
    """The shape of a sound list of lists with `size` numbers in all; None where it is ragged."""
    if text.find(b"[", 1) < 0:
        return (size,)
    structure = text.translate(None, _NOT_STRUCTURE)
    rank = len(structure) - len(structure.lstrip(b"["))
    if rank > _MAX_RANK:
        return None
    first = structure[rank - 1 : structure.find(b"]") + 1]
    shape = [len(first) - 1]  # a comma between two numbers, and the brackets
    # From the inside out: how the first list of each level must go on if all in it are alike.
    for level in range(rank - 2, -1, -1):
        end = structure.find(b"]" * (rank - level))
        if end < 0:
            return None
        count, rest = divmod(end + rank - level - 1 - level, len(first) + 1)
        if rest:
            return None
        shape.insert(0, count)
        first = b"[" + b",".join([first] * count) + b"]"
    return tuple(shape) if first == structure and math.prod(shape) == size else None
