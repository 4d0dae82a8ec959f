"""How does TF Serving quote a JSON value in an error?

As RapidJSON's pretty writer prints it: objects over several lines, arrays on one, doubles always with a
point or an exponent. Two oddities are kept, because clients see them: the text ends at a NaN or an
infinity, and it ends, brackets open, with the piece that makes it 256 bytes long.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from decimal import Decimal

__all__ = ["escaped", "quote", "type_name"]

_ESCAPES = {code: f"\\u{code:04X}" for code in range(0x20)} | {
    ord('"'): '\\"',
    ord("\\"): "\\\\",
    ord("\b"): "\\b",
    ord("\f"): "\\f",
    ord("\n"): "\\n",
    ord("\r"): "\\r",
    ord("\t"): "\\t",
}
_INDENT = "    "
_ENOUGH_BYTES = 256
_MAX_STRING_CHARS = 4096  # TF Serving quotes a string whole, however long it is
_PLAIN_DIGITS = 21  # RapidJSON writes numbers up to here without an exponent
_LEADING_ZEROS = 6


def quote(value: object) -> str:
    """`value` as JSON text; what follows the piece that reaches 256 bytes is left out."""
    parts = []
    left = _ENOUGH_BYTES
    for part in _parts(value):
        parts.append(part)
        left -= len(part.encode("utf-8", "surrogateescape"))
        if left <= 0:
            break
    return "".join(parts).encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def type_name(value: object) -> str:
    """RapidJSON's name of the type: Null, True, False, Number, String, Array, Object."""
    if value is None or isinstance(value, bool):
        return {None: "Null", True: "True", False: "False"}[value]
    if isinstance(value, (int, float)):
        return "Number"
    if isinstance(value, str):
        return "String"
    return "Array" if isinstance(value, list) else "Object"


def escaped(value: str) -> str:
    """A string with its quotation marks, as RapidJSON writes it: nothing but what must be is escaped."""
    return f'"{value.translate(_ESCAPES)}"'


def _parts(root: object) -> Iterator[str]:
    """The text in pieces, without recursion: a hostile value may be nested deeper than Python's stack."""
    opened: list[tuple[Iterator[tuple[str, object]], str]] = [(iter([("", root)]), "")]
    while opened:
        members, closing = opened[-1]
        prefix, value = next(members, (closing, _END))
        if value is _END:
            opened.pop()
            yield closing
        elif isinstance(value, dict) and value:
            margin = "\n" + _INDENT * len(opened)
            opened.append((_members(value, margin), margin[: -len(_INDENT)] + "}"))
            yield prefix + "{"
        elif isinstance(value, list) and value:
            opened.append((_elements(value), "]"))
            yield prefix + "["
        elif isinstance(value, float) and not math.isfinite(value):
            yield prefix
            return
        else:
            yield prefix + _scalar(value)


_END = object()


def _members(value: dict[str, object], margin: str) -> Iterator[tuple[str, object]]:
    separator = margin
    for key, member in value.items():
        yield f"{separator}{escaped(key[:_MAX_STRING_CHARS])}: ", member
        separator = "," + margin


def _elements(value: list[object]) -> Iterator[tuple[str, object]]:
    separator = ""
    for element in value:
        yield separator, element
        separator = ", "


def _scalar(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return escaped(value[:_MAX_STRING_CHARS])
    if isinstance(value, float):
        return _double(value)
    return str(value) if value else {list: "[]", dict: "{}", int: "0"}[type(value)]


def _double(value: float) -> str:
    """RapidJSON's spelling: 1e6 is 1000000.0, 1e-5 is 0.00001, 1e21 stays 1e21."""
    sign = "-" if math.copysign(1.0, value) < 0 else ""
    if not value:
        return f"{sign}0.0"
    _, numbers, exponent = Decimal(repr(abs(value))).normalize().as_tuple()
    assert isinstance(exponent, int)
    digits = "".join(map(str, numbers))
    point = len(digits) + exponent
    if exponent >= 0 and point <= _PLAIN_DIGITS:
        text = f"{digits}{'0' * exponent}.0"
    elif 0 < point <= _PLAIN_DIGITS:
        text = f"{digits[:point]}.{digits[point:]}"
    elif -_LEADING_ZEROS < point <= 0:
        text = f"0.{'0' * -point}{digits}"
    else:
        mantissa = digits if len(digits) == 1 else f"{digits[0]}.{digits[1:]}"
        text = f"{mantissa}e{point - 1}"
    return sign + text
