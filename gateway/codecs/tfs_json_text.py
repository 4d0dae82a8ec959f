"""How does TF Serving quote a JSON value in an error?

As RapidJSON's pretty writer prints it: objects over several lines, arrays on one, doubles always with a
point or an exponent. Two oddities are kept, because clients see them: the text ends at a NaN or an
infinity, and it ends, brackets open, with the piece that makes it 256 bytes long.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from gateway.codecs.tfs_json_double import spelled

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
        return spelled(value)
    return str(value) if value else {list: "[]", dict: "{}", int: "0"}[type(value)]
