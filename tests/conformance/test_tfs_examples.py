"""What do classify and regress bodies mean, and their results? TF Serving's own cases 38 to 44.

What the backend received is compared, or the answer. The first column is the case's number.
"""

from __future__ import annotations

import math
from typing import Any

import pytest

from gateway._stubs import tfs_wire_pb2 as wire
from gateway.codecs.lenient_json import read_json
from tests.conformance.conftest import Running

HELLO = '{"b64":"aGVsbG8="}'
NAN = pytest.approx(math.nan, nan_ok=True)


def feature(**values: list[Any]) -> wire.Feature:
    ((kind, value),) = values.items()
    found = wire.Feature()
    getattr(found, f"{kind}_list").value.extend(value)
    return found


def example(**features: wire.Feature) -> wire.Example:
    found = wire.Example()
    for name, value in features.items():
        found.features.feature[name].CopyFrom(value)
    return found


TWO = [
    example(
        names=feature(bytes=[b"foo", b"bar"]),
        ratings=feature(float=[8, 9]),
        age=feature(int64=[20]),
    ),
    example(names=feature(bytes=[b"baz"]), ratings=feature(float=[6])),
]
MIXED = [example(names=feature(bytes=[b"hello"]), mix=feature(int64=[1, 1, 0]))]


@pytest.mark.parametrize("verb", ["classify", "regress"])
def test_examples_become_these_messages(running: Running, verb: str) -> None:
    """38, 39: kinds of values, a context, and what stands for what."""
    running.client.post(
        f"/v1/models/m:{verb}",
        content='{"examples":[{"names":["foo","bar"],"ratings":[8.0,9.0],"age":20},'
        '{"names":["baz"],"ratings":6.0}]}',
    )
    assert list(running.backend.examples.example_list.examples) == TWO
    running.client.post(
        f"/v1/models/m:{verb}",
        content='{"context":{"query":"pizza","x":[NaN,-Infinity]},'
        f'"examples":[{{"names":{HELLO},"mix":[1,true,false]}}]}}',
    )
    found = running.backend.examples.example_list_with_context
    assert list(found.examples) == MIXED
    assert found.context.features.feature["query"] == feature(bytes=[b"pizza"])
    assert list(found.context.features.feature["x"].float_list.value) == [NAN, -math.inf]


BAD_EXAMPLES = [
    (40, '{"context":[{"a":1}],"examples":[{"a":1}]}', "Example must be JSON object"),
    (40, '{"examples":[[{"a":1}]]}', "Example must be JSON object"),
    (41, '{"examples":{"a":1}}', "list/array"),
    (
        42,
        '{"examples":[{"names":[10,null]}]}',
        "names has element with unexpected JSON type: Null",
    ),
    (42, '{"examples":[{"names":[10,{"test":10}]}]}', "unexpected JSON type: Object"),
    (42, '{"examples":[{"names":[[10],20]}]}', "unexpected JSON type: Array"),
    (43, '{"examples":[{"names":[10,10.0]}]}', "feature: names expecting type: int64"),
    (43, '{"examples":[{"names":[20,18446744073709551603]}]}', "Only int64_t is supported"),
]


def test_large_bodies_are_read_elsewhere_to_the_same_end(running: Running) -> None:
    """Over 16 KiB: in the worker process, so that nobody else waits."""
    body = '{"examples":[{"names":["foo","bar"],"ratings":[8.0,9.0],"age":20},{"names":["baz"],"ratings":6.0}]'
    running.client.post("/v1/models/m:classify", content=body + " " * 20_000 + "}")
    assert list(running.backend.examples.example_list.examples) == TWO
    answer = running.client.post("/v1/models/m:classify", content='{"examples":' + "[" * 20_000)
    assert answer.status_code == 400
    assert "JSON Parse error" in answer.json()["error"]


@pytest.mark.parametrize("verb", ["classify", "regress"])
@pytest.mark.parametrize(("number", "body", "text"), BAD_EXAMPLES)
def test_examples_are_refused_with_this_text(
    running: Running, verb: str, number: int, body: str, text: str
) -> None:
    answer = running.client.post(f"/v1/models/m:{verb}", content=body)
    assert (number, answer.status_code) == (number, 400)
    assert text in answer.json()["error"]


def test_results_are_written_like_this(running: Running) -> None:
    """44: classes as pairs, floats as bare words."""
    body = '{"signature_name":"%s","examples":[{"x":1.0}]}'
    cars = running.client.post("/v1/models/m:classify", content=body % "cars")
    one = [["car", pytest.approx(0.2)], ["bus", 0.5], ["", math.inf]]
    assert read_json(cars.content) == {"results": [one, one]}
    special = running.client.post("/v1/models/m:regress", content=body % "special")
    expected = [pytest.approx(0.2), math.inf, 1.0, -math.inf, NAN]
    assert read_json(special.content) == {"results": expected}
