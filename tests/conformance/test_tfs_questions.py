"""What do paths mean, and questions about models? TF Serving's own cases 45 to 52.

The first column is the case's number.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance import test_tfs_examples, test_tfs_inputs, test_tfs_predict
from tests.conformance.conftest import Running

HALF = "/v1/models/half_plus_two"
ANSWERED = [
    (
        45,
        f"{HALF}:predict",
        '{"instances":[[1.0,2.0],[3.0,4.0]]}',
        {"predictions": [[2.5, 3.0], [3.5, 4.0]]},
    ),
    (45, f"{HALF}/versions/123:predict", '{"instances":[1.0,2.0]}', {"predictions": [2.5, 3.0]}),
    (45, f"{HALF}/labels/stable:predict", '{"instances":[1.0,2.0]}', {"predictions": [2.5, 3.0]}),
    (45, f"{HALF}:predict", '{"inputs":[3.0,4.0]}', {"outputs": [3.5, 4.0]}),
    (
        46,
        f"{HALF}:regress",
        '{"signature_name":"regress_x_to_y","examples":[{"x":80.0}]}',
        {"results": [42]},
    ),
    (
        46,
        f"{HALF}:classify",
        '{"signature_name":"classify_x_to_y","examples":[{"x":20.0}]}',
        {"results": [[["", 12]]]},
    ),
    (
        46,
        f"{HALF}/labels/stable:classify",
        '{"signature_name":"classify_x_to_y","examples":[{"x":10.0}]}',
        {"results": [[["", 7]]]},
    ),
]


@pytest.mark.parametrize(("number", "path", "body", "document"), ANSWERED)
def test_half_plus_two_answers(
    running: Running, number: int, path: str, body: str, document: Any
) -> None:
    answer = running.client.post(path, content=body)
    assert (number, answer.status_code, answer.json()) == (number, 200, document)


ASKED_WRONGLY = [
    (47, "POST", f"{HALF}:predict", "instances = [1, 2]", 400, "JSON Parse error: Invalid value"),
    (47, "POST", f"{HALF}:predict", '{"instances":["x","y"]}', 400, "not of expected type: float"),
    (
        47,
        "POST",
        f"{HALF}:predict",
        '{"signature_name":100,"instances":[1]}',
        400,
        "'signature_name' key must be a string value.",
    ),
    (48, "POST", "/v1/models/foo:predict", '{"instances":[1]}', 404, "Latest(foo)"),
    (48, "POST", "/v1/models/foo/versions/50:predict", '{"instances":[1]}', 404, "(foo, 50)"),
    (48, "POST", f"{HALF}99:predict", '{"instances":[1]}', 404, "half_plus_two99"),
    (48, "GET", "/v1/models/foo", "", 404, "Could not find any versions of model foo"),
    (48, "GET", f"{HALF}/versions/50", "", 404, "Could not find version 50"),
    (
        49,
        "POST",
        f"{HALF}/labels/nope:predict",
        '{"instances":["x"]}',
        400,
        "Unrecognized servable version label: nope",
    ),
    (50, "GET", "/v1/foo", "", 400, "Malformed request: GET /v1/foo"),
    (50, "POST", "/v1/foo", "{}", 400, "Malformed request"),
    (50, "GET", "/v1/models/debug/x", "", 400, "Malformed request"),
    (50, "POST", "/v1/models", "{}", 400, "Malformed request"),
    (50, "GET", f"{HALF}:predict", "", 400, "Malformed request"),
    (50, "POST", f"{HALF}/version/50:predict", "{}", 400, "Malformed request"),
    (50, "POST", f"{HALF}/versions/HELLO:predict", "{}", 400, "Malformed request"),
    (50, "POST", f"{HALF}/metadata", "{}", 400, "Malformed request"),
    (50, "POST", f"{HALF}/label/x:predict", "{}", 400, "Malformed request"),
    (50, "POST", f"{HALF}/versions/50/labels/x:predict", "{}", 400, "Malformed request"),
    (
        51,
        "POST",
        f"{HALF}/versions/18446744073709551615:regress",
        '{"examples":[{"x":1.0}]}',
        400,
        "Failed to convert version",
    ),
]


@pytest.mark.parametrize(("number", "method", "path", "body", "status", "text"), ASKED_WRONGLY)
def test_wrong_questions_are_told_so(
    running: Running, number: int, method: str, path: str, body: str, status: int, text: str
) -> None:
    answer = running.client.request(method, path, content=body)
    assert (number, answer.status_code) == (number, status), answer.text
    assert text in answer.json()["error"]


def test_the_list_of_models_is_told(running: Running) -> None:
    """51, on purpose otherwise: TF Serving answers 400, KServe's clients expect the list."""
    answer = running.client.get("/v1/models")
    assert (answer.status_code, answer.json()) == (200, {"models": ["half_plus_two", "m"]})


def test_the_status_is_the_same_by_model_version_and_label(running: Running) -> None:
    """52, and what KServe's V1 clients read at the same address."""
    answers = [running.client.get(HALF + path) for path in ("", "/versions/123", "/labels/stable")]
    assert {answer.status_code for answer in answers} == {200}
    assert answers[0].json() == answers[1].json() == answers[2].json()
    status = {
        "version": "123",
        "state": "AVAILABLE",
        "status": {"error_code": "OK", "error_message": ""},
    }
    assert answers[0].json() == {
        "model_version_status": [status],
        "name": "half_plus_two",
        "ready": True,
    }


def test_every_case_is_here() -> None:
    """Case 34's empty map and complex numbers cannot come from a backend: the codec's tests have them."""
    tables: list[Any] = [
        test_tfs_predict.REFUSED,
        test_tfs_predict.WRITTEN,
        test_tfs_examples.BAD_EXAMPLES,
        ANSWERED,
        ASKED_WRONGLY,
    ]
    numbers = {case.number for case in test_tfs_inputs.READ}
    numbers |= {row[0] for table in tables for row in table}
    alone = {10, 38, 39, 44, 52}
    assert numbers | alone == set(range(1, 53))
