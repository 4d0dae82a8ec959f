"""Which named fields does a TorchServe prediction carry?

TorchServe makes a whole body the one field `body`, and a form's parts fields of their own; over gRPC a
request is a map of fields. What a field says, only the model's signature tells (`torchserve_predictions`).

Rules:
- Reading takes time and memory linear in the body: at most `MAX_FIELDS` fields, heads of at most 8 KiB.
- A part without a type is text, as RFC 7578 has it. A whole body without one may be anything ("").
- curl says of JSON after `-d` that it is a form; a "form" that begins as JSON does is a whole body.
"""

from __future__ import annotations

import re

from gateway.errors import InvalidRequest
from gateway.values import value_class

__all__ = ["BODY", "DATA", "MAX_FIELDS", "Field", "begins_as_json", "fields_of"]

MAX_FIELDS = 256
BODY, DATA = "body", "data"  # by TorchServe's custom: the only input

_MULTIPART = "multipart/form-data"
_FORM = "application/x-www-form-urlencoded"
_TEXT = "text/plain"
_BOUNDARY = re.compile(r';[ \t]*boundary=(?:"([^"\r\n]{1,70})"|([^\s;",]{1,70}))', re.IGNORECASE)
_NAME = re.compile(r';[ \t]*name=(?:"([^"]*)"|([^\s;"]+))', re.IGNORECASE)
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_MAX_HEAD_BYTES = 8 * 1024
_LOOK_BYTES = 64  # how far in JSON may begin


@value_class()
class Field:
    """A name, a MIME type in lower case without its parameters ("" for none), and bytes."""

    name: str
    content_type: str
    value: bytes


def fields_of(body: bytes, content_type: str | None) -> tuple[Field, ...]:
    """The fields of a body; one called `body` if it is no form.

    Raises:
        InvalidRequest: the form cannot be read, has too many fields, or the same one twice.
    """
    kind = _mime(content_type or "")
    if kind == _MULTIPART:
        fields = _parts(body, content_type or "")
    elif kind == _FORM and not begins_as_json(body):
        fields = _pairs(body)
    else:
        return (Field(BODY, _TEXT if kind == _FORM else kind, body),)
    names = [field.name for field in fields]
    if len(set(names)) != len(names):
        raise InvalidRequest("a field is given twice", path="form")
    return fields


def begins_as_json(value: bytes) -> bool:
    """Whether the first bytes look like those of a JSON list or object."""
    return value[:_LOOK_BYTES].lstrip(b" \t\r\n")[:1] in (b"[", b"{")


def _mime(content_type: str) -> str:
    return content_type.split(";", 1)[0].strip().lower()


def _pairs(body: bytes) -> tuple[Field, ...]:
    _check_count(body.count(b"&") + 1)
    fields = []
    for pair in body.split(b"&"):
        name, _, value = pair.replace(b"+", b" ").partition(b"=")
        if pair:
            text = _unescaped(name).decode("utf-8", "replace")
            fields.append(Field(text, _TEXT, _unescaped(value)))
    return tuple(fields)


def _unescaped(text: bytes) -> bytes:
    # The standard library's takes four times as long of a text that is all per cent signs.
    return _ESCAPE.sub(lambda found: bytes.fromhex(found[1].decode()), text)


def _parts(body: bytes, content_type: str) -> tuple[Field, ...]:
    found = _BOUNDARY.search(content_type)
    if found is None:
        raise InvalidRequest("got multipart/form-data without a boundary", path="Content-Type")
    boundary = f"--{found[1] or found[2]}".encode("latin-1", "replace")
    # The line end before a boundary belongs to the boundary; the first one may have none.
    at = 0 if body.startswith(boundary) else body.find(b"\r\n" + boundary) + 2
    if at == 1:
        raise InvalidRequest("the form's boundary is not in it", path="form")
    fields: list[Field] = []
    at += len(boundary)
    while body[at : at + 2] != b"--":
        _check_count(len(fields) + 1)
        field, at = _part(body, at, b"\r\n" + boundary, len(fields))
        fields.append(field)
    return tuple(fields)


def _part(body: bytes, at: int, delimiter: bytes, index: int) -> tuple[Field, int]:
    """The part after the boundary that ends at `at`, and where the next boundary ends."""
    path = f"form[{index}]"
    head_end = body.find(b"\r\n\r\n", at, at + _MAX_HEAD_BYTES)
    if head_end < 0:
        raise InvalidRequest(f"its head has no end within {_MAX_HEAD_BYTES} bytes", path=path)
    start = head_end + 4
    # A part may be empty: its boundary's line end is then the head's second one.
    end = body.find(delimiter, start - 2)
    if end < 0:
        raise InvalidRequest("the form ends within a part", path=path)
    name, content_type = _read_head(body[at:head_end], path)
    return Field(name, content_type, body[start : max(start, end)]), end + len(delimiter)


def _read_head(head: bytes, path: str) -> tuple[str, str]:
    name, content_type = None, _TEXT
    for line in head.decode("utf-8", "replace").split("\r\n"):
        key, _, value = line.partition(":")
        if key.strip().lower() == "content-disposition":
            found = _NAME.search(value)
            name = None if found is None else found[1] if found[1] is not None else found[2]
        elif key.strip().lower() == "content-type":
            content_type = _mime(value)
    if name is None:
        raise InvalidRequest("its Content-Disposition has no name", path=path)
    return name, content_type


def _check_count(count: int) -> None:
    if count > MAX_FIELDS:
        raise InvalidRequest(f"got more than {MAX_FIELDS} fields", path="form")
