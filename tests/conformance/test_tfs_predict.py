"""Which predict bodies are refused, and how are outputs written? TF Serving's own cases 3 and 18 to 37.

The first column is the case's number.
"""

from __future__ import annotations

import math
from typing import Any

import pytest

from gateway.codecs.lenient_json import read_json
from tests.conformance.conftest import Running

DEEP = 100_000

REFUSED = [
    (3, "", f'{{"signature_name":{"[" * DEEP}{"]" * DEEP}}}', "key must be a string value"),
    (18, "", "", "document is empty"),
    (19, "", '{"signature_name":5,"instances":[[1,2]]}', "must be a string value"),
    (20, "int", '"instances":[1],"inputs":[1]', "Not formatted correctly"),
    (21, "int", '"instances":[[1,2],[3,4],[5,6,7]]', "Expecting tensor size"),
    (22, "int", '"instances":[[1,2],[3,4],[[5,6]]]', "Expecting shape"),
    (23, "int", '"instances":[1,[1]]', "Expecting shape"),
    (24, "int", '"instances":[[1,2],["a","b"]]', "not of expected type"),
    (
        25,
        "int_str",
        '"instances":[{"int":[[1,2],[3,4],[5,6]],"str":["a"]},{"int":[[[1,2],[3,4],[5,6]]],"str":["a"]}]',
        "Expecting shape",
    ),
    (
        26,
        "int_str",
        '"instances":[{"int":[[1,2],[3,4],[5,6]],"str":["a"]},{"int":[[1,2],[3,4],[5,6],[7,8]],"str":["a"]}]',
        "Expecting tensor size",
    ),
    (
        27,
        "int_str",
        '"instances":[{"int":[1],"str":["a"]},[1,20,30]]',
        "Expecting object but got list",
    ),
    (28, "string", '"instances":[["a"],{"str":["b"]}]', "Expecting value/list but got object"),
    (34, "out_scalar", '"instances":[1]', "no shape information"),
    (36, "out_rows", '"instances":[1]', "inconsistent batch size"),
    (36, "out_no_rows", '"instances":[1]', "inconsistent batch size"),
]


@pytest.mark.parametrize(("number", "signature", "body", "text"), REFUSED)
def test_bodies_are_refused_with_this_text(
    running: Running, number: int, signature: str, body: str, text: str
) -> None:
    content = f'{{"signature_name":"{signature}",{body}}}' if signature else body
    answer = running.client.post("/v1/models/m:predict", content=content)
    assert (number, answer.status_code) == (number, 400)
    assert text in answer.json()["error"]


INTS = [[[1, 2], [3, 4], [5, 6]], [[7, 8], [9, 0], [1, 2]]]
CODED = [
    [{"b64": "aGVsbG8="}, {"b64": "d29ybGQ="}],
    [{"b64": "dGY="}, {"b64": "c2VydmluZw=="}],
]
MANY = [
    {
        "int_tensor": [1, 2],
        "str_tensor": "foo",
        "float_tensor": 1.5,
        "double_tensor": 3.0,
        "bin_tensor_bytes": {"b64": "aGVsbG8="},
    },
    {
        "int_tensor": [3, 4],
        "str_tensor": "bar",
        "float_tensor": 2.5,
        "double_tensor": 4.0,
        "bin_tensor_bytes": {"b64": "d29ybGQ="},
    },
]
NAN = pytest.approx(math.nan, nan_ok=True)
WRITTEN = [
    (29, "out_int", {"predictions": INTS}, {"outputs": INTS}),
    (30, "out_five", {"predictions": [1, 2, 3, 4, 5]}, {"outputs": [1, 2, 3, 4, 5]}),
    (31, "out_bytes", {"predictions": CODED}, {"outputs": CODED}),
    (
        32,
        "out_floats",
        {"predictions": pytest.approx([9e06, 999999.0, 0.5, 0.0003, 3e-05, 555557.5])},
        None,
    ),
    (33, "out_special", {"predictions": [NAN, math.inf, 3.0, -math.inf]}, None),
    (
        35,
        "out_many",
        {"predictions": MANY},
        {"outputs": {name: [row[name] for row in MANY] for name in MANY[0]}},
    ),
    (37, "out_empty", {"predictions": []}, None),
    (37, "out_empties", {"predictions": []}, None),
]


@pytest.mark.parametrize(("number", "signature", "rows", "columns"), WRITTEN)
def test_outputs_are_written_like_this(
    running: Running, number: int, signature: str, rows: Any, columns: Any
) -> None:
    for form, expected in (("instances", rows), ("inputs", columns)):
        if expected is None:
            continue
        body = f'{{"signature_name":"{signature}","{form}":[1]}}'
        answer = running.client.post("/v1/models/m:predict", content=body)
        assert (number, answer.status_code) == (number, 200), answer.text
        assert read_json(answer.content) == expected


def test_special_floats_are_bare_words(running: Running) -> None:
    """33: in the words of the reference parser, not strings and not null."""
    body = '{"signature_name":"out_special","instances":[1]}'
    text = running.client.post("/v1/models/m:predict", content=body).text
    assert "NaN" in text
    assert "-Infinity" in text
    assert "null" not in text
