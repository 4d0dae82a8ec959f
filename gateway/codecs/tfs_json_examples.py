"""How do the bodies of classify and regress become examples, and results bodies again?

    {"signature_name": "…", "context": {feature: value}, "examples": [{feature: value or [value, …]}, …]}

Rules, all TF Serving's:
- A number without point and exponent is an integer, true is 1, a string or {"b64": "…"} is bytes; a feature
  holds one kind only. NaN and infinities are numbers.
- Of duplicate keys of the body the first counts, of duplicate features the last.
- The whole body is read before the model is looked up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import orjson

from gateway._stubs import tfs_wire_pb2 as wire
from gateway.codecs.json_text import nested_text
from gateway.codecs.lenient_json import read_json
from gateway.codecs.tfs_json_read import base64_bytes, is_base64
from gateway.codecs.tfs_json_text import quote, type_name
from gateway.errors import InvalidRequest

__all__ = ["ExamplesBody", "decode_examples", "encode_classifications", "encode_regressions"]

_Kind: TypeAlias = Literal["int64", "float", "string"]

_INT64_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True)
class ExamplesBody:
    """What a classify or regress body says; `signature_name` is "" for the default one."""

    signature_name: str
    input: wire.Input


def decode_examples(body: bytes) -> ExamplesBody:
    """Read the body of a classify or regress request.

    Raises:
        InvalidRequest: in TF Serving's words.
    """
    document = _read_document(body)
    signature_name = document.get("signature_name", "")
    if not isinstance(signature_name, str):
        raise InvalidRequest(
            f"{_quoted(document)} not formatted correctly."
            " 'signature_name' key must be a string value."
        )
    if "examples" not in document:
        raise InvalidRequest(
            f"{_quoted(document)} When method is classify, key 'examples' is expected and was not found"
        )
    found = wire.Input()
    examples = found.example_list.examples
    if "context" in document:
        found.example_list_with_context.context.CopyFrom(_example(document["context"]))
        examples = found.example_list_with_context.examples
    for value in _listed(document):
        examples.append(_example(value))
    return ExamplesBody(signature_name, found)


def encode_classifications(result: wire.ClassificationResult) -> bytes:
    """Write the answer to classify: for each example a list of label and score."""
    rows = [
        [[one.label, _number(one.score)] for one in classes.classes]
        for classes in result.classifications
    ]
    return orjson.dumps({"results": rows})


def encode_regressions(result: wire.RegressionResult) -> bytes:
    """Write the answer to regress: a number for each example."""
    return orjson.dumps({"results": [_number(one.value) for one in result.regressions]})


def _read_document(body: bytes) -> dict[str, object]:
    try:
        document = orjson.loads(body)
        # Written again it has as many colons, unless a duplicate key was lost in reading.
        if isinstance(document, dict) and orjson.dumps(document).count(b":") == body.count(b":"):
            return document
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        pass  # not strictly JSON, or nested deeper than orjson writes: read again, with care
    found = read_json(body, last_wins_inside=True)
    if not isinstance(found, dict):
        raise InvalidRequest(f"{_quoted(found)} Is not object")
    return found


def _listed(document: Mapping[str, object]) -> list[object]:
    values = document["examples"]
    if not isinstance(values, list):
        raise InvalidRequest(f"{_quoted(document)} Expecting 'examples' value to be an list/array")
    if not values:
        raise InvalidRequest(f"{_quoted(document)} 'examples' value is an empty array")
    return values


def _example(value: object) -> wire.Example:
    if not isinstance(value, dict):
        raise InvalidRequest(f"Example must be JSON object but got JSON {type_name(value)}")
    example = wire.Example()
    example.features.SetInParent()
    for name, values in value.items():
        _fill(example.features.feature[_text(name)], name, values)
    return example


def _fill(feature: wire.Feature, name: str, value: object) -> None:
    values = value if isinstance(value, list) else [value]
    kinds = [_kind(name, element) for element in values]
    if not kinds:
        return  # a feature without a kind, as if it were missing
    for kind in kinds:
        if kind != kinds[0]:
            raise InvalidRequest(
                f"Unexpected element type in feature: {name} expecting type: {kinds[0]}"
            )
    _FILL[kinds[0]](feature, values)


def _kind(name: str, value: object) -> _Kind:
    if isinstance(value, int):  # true and false among them
        if value > _INT64_MAX:
            raise InvalidRequest(
                f"Feature: {name} has uint64_t element. Only int64_t is supported."
            )
        return "int64"
    if isinstance(value, float):
        return "float"
    if isinstance(value, str) or is_base64(value):
        return "string"
    raise InvalidRequest(
        f"Feature: {name} has element with unexpected JSON type: {type_name(value)}"
    )


def _fill_integers(feature: wire.Feature, values: list[object]) -> None:
    feature.int64_list.value.extend([int(value) for value in values if isinstance(value, int)])


def _fill_floats(feature: wire.Feature, values: list[object]) -> None:
    with np.errstate(over="ignore"):  # too large becomes infinite
        feature.float_list.value.extend(np.array(values, np.float64).astype(np.float32).tolist())


def _fill_strings(feature: wire.Feature, values: list[object]) -> None:
    for value in values:
        text = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else None
        data = base64_bytes(value) if text is None else text
        if data is None:
            raise InvalidRequest("Unable to base64 decode")
        feature.bytes_list.value.append(data)


_FILL: Mapping[_Kind, Callable[[wire.Feature, list[object]], None]] = {
    "int64": _fill_integers,
    "float": _fill_floats,
    "string": _fill_strings,
}


def _text(name: str) -> str:
    """A feature's name as protobuf takes it; bytes that are no UTF-8 are replaced."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _number(value: float) -> object:
    return nested_text(np.asarray(value, np.float32))


def _quoted(document: object) -> str:
    return f"JSON Value: {quote(document)}"
