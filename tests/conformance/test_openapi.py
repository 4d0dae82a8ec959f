"""Do the examples of TF Serving's routes in /openapi.json run, and are the questions served?"""

from __future__ import annotations

import pytest

from tests.conformance.conftest import Running

VERSION, LABEL = "123", "stable"


def filled(path: str) -> str:
    return (
        path.replace("{model}", "half_plus_two")
        .replace("{version}", VERSION)
        .replace("{label}", LABEL)
    )


@pytest.mark.parametrize("verb", ["classify", "regress"])
def test_the_examples_of_classify_and_regress_run(running: Running, verb: str) -> None:
    """And are answered as they say."""
    paths = running.client.get("/openapi.json").json()["paths"]
    described = {path: paths[path]["post"] for path in paths if path.endswith(f":{verb}")}
    assert len(described) == 3
    for path, operation in described.items():
        body = operation["requestBody"]["content"]["application/json"]["example"]
        answer = running.client.post(filled(path), json=body)
        assert answer.status_code == 200, answer.text
        said = operation["responses"]["200"]["content"]["application/json"]["example"]
        assert answer.json() == said


def test_the_questions_that_are_described_are_served(running: Running) -> None:
    """The list, states and metadata."""
    paths = running.client.get("/openapi.json").json()["paths"]
    asked = [path for path in paths if path.startswith("/v1/") and "get" in paths[path]]
    assert len(asked) == 7
    assert {running.client.get(filled(path)).status_code for path in asked} == {200}


def test_the_preflights_that_are_described_are_answered(running: Running) -> None:
    paths = running.client.get("/openapi.json").json()["paths"]
    asked = [path for path in paths if path.startswith("/v1/")]
    assert all("options" in paths[path] for path in asked)
    for path in asked:
        page = running.client.options(filled(path), headers={"origin": "http://page.example"})
        assert (page.status_code, page.content) == (200, b"")
        assert running.client.options(filled(path)).status_code == 400
