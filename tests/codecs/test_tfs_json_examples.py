"""Bodies about examples: whatever they are, they become examples or one of our errors."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway._stubs import tfs_wire_pb2 as wire
from gateway.codecs import tfs_json_examples as codec
from gateway.errors import InvalidRequest

leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
values = st.recursive(
    leaves | st.just({"b64": "AA=="}),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(("x", "y", "b64")), inner, max_size=2)
    ),
    max_leaves=10,
)
keys = st.sampled_from(("examples", "context", "signature_name", "other"))
features = st.dictionaries(
    st.text(max_size=3),
    st.lists(st.booleans(), min_size=1)
    | st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1)
    | st.lists(st.floats(width=32), min_size=1)
    | st.lists(st.text(max_size=3), min_size=1),
    max_size=3,
)


@given(st.dictionaries(keys, values))
@example({"examples": [{"x": -(2**63) - 1}]})
@example({"examples": [{"x": 1e300}]})
def test_any_body_is_read_or_refused_with_our_error(document: Any) -> None:
    with contextlib.suppress(InvalidRequest):
        codec.decode_examples(json.dumps(document).encode())


@given(st.binary(max_size=60))
def test_arbitrary_bytes_raise_nothing_but_our_errors(data: bytes) -> None:
    with contextlib.suppress(InvalidRequest):
        codec.decode_examples(b'{"examples":[' + data)
        codec.decode_examples(data)


@given(st.lists(features, min_size=1, max_size=3))
def test_every_value_arrives(examples: list[dict[str, list[Any]]]) -> None:
    body = json.dumps({"examples": examples}).encode()
    found = codec.decode_examples(body).input.example_list.examples
    read = [
        {name: _values(feature) for name, feature in sorted(one.features.feature.items())}
        for one in found
    ]
    sent = [{name: list(map(_sent, one[name])) for name in sorted(one)} for one in examples]
    assert repr(read) == repr(sent)  # which tells NaN from NaN by nothing, and -0.0 from 0.0


def _values(feature: wire.Feature) -> list[Any]:
    kind = feature.WhichOneof("kind")
    assert kind is not None
    return list(getattr(feature, kind).value)


def _sent(value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    return value.encode() if isinstance(value, str) else value


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (b'{"examples":[{"x":1.0}],"examples":[{"y":1.0}]}', ["x"]),
        (b'{"examples":[{"x":":"}],"a":{"b":"c:d"}}', ["x"]),
        (b'{"context":{"c":1},"examples":[{"x":NaN}],"context":[]} trailing', ["x"]),
    ],
)
def test_the_first_of_duplicate_keys_counts(body: bytes, names: list[str]) -> None:
    found = codec.decode_examples(body).input
    examples = found.example_list.examples or found.example_list_with_context.examples
    assert [list(one.features.feature) for one in examples] == [names]


def test_the_last_of_duplicate_features_counts() -> None:
    found = codec.decode_examples(b'{"examples":[{"x":1.0,"x":2.0}]}').input
    assert list(found.example_list.examples[0].features.feature["x"].float_list.value) == [2.0]
