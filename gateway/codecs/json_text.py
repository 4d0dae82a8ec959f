"""How does JSON with NaN and Infinity in it become Python values, and arrays JSON text?

orjson does the work, and refuses NaN and Infinity, which models do answer and clients do send. So a
text that it refuses is read again by Python's parser if it holds one of these tokens, and the nulls
that it writes for such numbers are replaced. Neither costs the common case anything. TF Serving's
dialect takes more liberties; `lenient_json` reads those.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator

import numpy as np
import orjson

from gateway.errors import InvalidRequest
from gateway.tensors import Array

__all__ = ["array_text", "dump", "load", "nested_text", "number_text", "seen"]

_SEEN_CHARACTERS = 60  # of a wrong value, in an error message


def load(body: bytes) -> object:
    """The value that a JSON text holds; NaN, Infinity and -Infinity are numbers.

    Raises:
        InvalidRequest: not JSON, not UTF-8, or nested too deeply (1024 levels; with NaN, fewer).
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if b"NaN" not in body and b"Infinity" not in body:
            raise InvalidRequest(f"the body is not JSON: {error}") from error
    return _load_tolerantly(body)


def dump(document: object) -> bytes:
    """The JSON text of dicts, lists, strings, finite numbers, and what the functions below give."""
    return orjson.dumps(document)


def array_text(array: Array) -> orjson.Fragment:
    """The elements of a bool, integer, FP32 or FP64 array as one flat list, row-major."""
    return nested_text(np.ascontiguousarray(array).reshape(-1))


def nested_text(array: Array) -> orjson.Fragment:
    """The elements of a contiguous bool, integer or float array (not BF16), a list per dimension."""
    if not array.flags.aligned:
        array = array.copy()
    text = orjson.dumps(array if array.ndim else array[()], option=orjson.OPT_SERIALIZE_NUMPY)
    if b"null" in text:
        tokens = _tokens(array[~np.isfinite(array)])
        text = re.sub(rb"null", lambda _: next(tokens), text)
    return orjson.Fragment(text)


def number_text(value: float) -> float | orjson.Fragment:
    """A number that `dump` writes as it is, infinite or none as well."""
    return value if math.isfinite(value) else orjson.Fragment(next(_tokens(np.array([value]))))


def seen(value: object) -> str:
    """A wrong value in an error message: short, however long it is."""
    match value:
        case None:
            return "nothing"
        case list():
            return "a list"
        case dict():
            return "an object"
        case bool():
            return "true" if value else "false"
        case str():
            return repr(value[:_SEEN_CHARACTERS])
        case _:
            return str(value)[:_SEEN_CHARACTERS]


def _load_tolerantly(body: bytes) -> object:
    try:
        value: object = json.loads(body.decode())
        if b"\\u" in body:
            # Python takes half a surrogate pair for a character; no wire we write to does.
            json.dumps(value, ensure_ascii=False).encode()
    except ValueError as error:
        raise InvalidRequest(f"the body is not JSON: {error}") from error
    except RecursionError as error:
        raise InvalidRequest("the body is nested too deeply") from error
    return value


def _tokens(numbers: Array) -> Iterator[bytes]:
    for number in numbers.tolist():
        if math.isnan(number):
            yield b"NaN"
        else:
            yield b"Infinity" if number > 0 else b"-Infinity"
