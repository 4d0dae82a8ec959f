"""Both REST dialects against a real gateway with real backends: answers, errors, and the books."""

from __future__ import annotations

import asyncio
import gzip
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.arithmetic import Gate
from tests.fakes.gateways import Stack, against

TFS = "/v1/models/floats:predict"
OIP = "/v2/models/floats/infer"
ROW = {"instances": [[1, 2, 3, 4]]}
_MISSING = (
    "expected 1 inputs but got 0 inputs for model '{model}'. Got input(s) [], but missing required"
    " input(s) ['{name}']. Please provide all required input(s).; inputs: got inputs []"
)


def oip_body(values: list[list[float]], **extra: Any) -> dict[str, Any]:
    shape = [len(values), len(values[0])]
    return {"inputs": [{"name": "x", "shape": shape, "datatype": "FP32", "data": values}], **extra}


def test_both_dialects_give_the_models_answer(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        row = await stack.rest.post(TFS, json=ROW)
        assert (row.status_code, row.json()) == (200, {"predictions": [[3.0, 5.0, 7.0, 9.0]]})
        column = await stack.rest.post(TFS, json={"inputs": {"x": [[1, 2, 3, 4]]}})
        assert column.json() == {"outputs": [[3.0, 5.0, 7.0, 9.0]]}
        oip = await stack.rest.post(OIP, json=oip_body([[1, 2, 3, 4]], id="mine"))
        assert oip.json() == {
            "model_name": "floats",
            "model_version": "1",
            "id": "mine",
            "outputs": [
                {"name": "y", "datatype": "FP32", "shape": [1, 4], "data": [3.0, 5.0, 7.0, 9.0]}
            ],
        }

    against(tmp_path, scenario)


def test_every_request_gets_an_id_and_facts_only_when_asked(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        plain = await stack.rest.post(TFS, json=ROW)
        assert plain.headers["x-request-id"]
        assert "x-tandem-arm" not in plain.headers
        asked = await stack.rest.post(
            TFS, json=ROW, headers={"x-request-id": "abc", "x-tandem-explain": "1"}
        )
        assert asked.headers["x-request-id"] == "abc"
        assert asked.headers["x-tandem-arm"] in ("tf", "torch")
        assert asked.headers["x-tandem-version"] == "1"
        assert asked.headers["x-tandem-batch-rows"] == "1"
        assert float(asked.headers["x-tandem-total-ms"]) >= float(
            asked.headers["x-tandem-backend-ms"]
        )

    against(tmp_path, scenario)


def test_a_unit_sticks_to_its_arm_and_an_arm_can_be_forced(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        for unit in ("ada", "grace", "edsger"):
            headers = {"x-tandem-unit": unit, "x-tandem-explain": "1"}
            arms = {
                (await stack.rest.post(TFS, json=ROW, headers=headers)).headers["x-tandem-arm"]
                for _ in range(5)
            }
            assert len(arms) == 1
        for arm in ("tf", "torch"):
            headers = {"x-tandem-arm": arm, "x-tandem-explain": "1"}
            answer = await stack.rest.post(TFS, json=ROW, headers=headers)
            assert (answer.headers["x-tandem-arm"], answer.headers["x-tandem-why"]) == (
                arm,
                "forced",
            )

    against(tmp_path, scenario)


@pytest.mark.parametrize(
    ("path", "body", "status", "text"),
    [
        (TFS, b"not json", 400, "JSON Parse error"),
        (TFS, b"", 400, "The document is empty"),
        (TFS, b'{"instances": [[1,2,3,4],[1,2]]}', 400, "Expecting tensor size"),
        (TFS, b'{"instances": [["a",2,3,4]]}', 400, "is not of expected type: float"),
        (
            "/v1/models/pairs:predict",  # served by a backend that takes only what fits
            b'{"instances": [{"a": [1, 2, 3], "b": 1}]}',
            400,
            "inputs[0].shape: got [1, 3], model pairs wants [rows, 2]",
        ),
        (TFS, b'{"inputs": {"z": [[1,2,3,4]]}}', 400, "Missing named input: x"),
        (TFS, b'{"instances": [], "signature_name": "s"}', 400, 'Serving signature name: "s"'),
        ("/v1/models/none:predict", b'{"instances": []}', 404, "Latest(none)"),
        ("/v1/models/floats/versions/9:predict", b'{"instances": []}', 404, "Specific(floats, 9)"),
        ("/v1/models/floats/labels/l:predict", b'{"instances": []}', 400, "version label: l"),
        ("/v1/models/floats:explain", b"{}", 400, "Malformed request: POST"),
        ("/v1/models/pairs:classify", b'{"examples": [{"x": 1}]}', 501, "takes tensors (Predict)"),
        (OIP, b"[", 400, ""),
        (OIP, b"{}", 400, "inputs"),
        ("/v2/models/none/infer", b'{"inputs": []}', 404, "unknown model: 'none'"),
        ("/v2/models/floats/versions/9/infer", b'{"inputs": []}', 404, "version 9 is not found"),
        (OIP, b'{"inputs": []}', 400, _MISSING.format(model="floats", name="x")),
        (
            OIP,
            (
                b'{"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}],'
                b' "outputs": [{"name": "z"}]}'
            ),
            400,
            "unexpected inference output 'z' for model 'floats'; outputs[0]: got output 'z'",
        ),
        # The Open Inference Protocol looks the model up first, whatever the body is.
        ("/v2/models/none/infer", b"junk", 404, "unknown model: 'none' is not found"),
        ("/v2/models/none/infer", b"junk" * 100_000, 404, "unknown model: 'none' is not found"),
        ("/v2/models/floats/versions/9/infer", b"{}", 404, "version 9 is not found"),
    ],
)
def test_the_callers_mistakes_are_told_in_its_dialect(
    tmp_path: Path, path: str, body: bytes, status: int, text: str
) -> None:
    async def scenario(stack: Stack) -> None:
        answer = await stack.rest.post(path, content=body)
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/json"
        assert text in answer.json()["error"]
        assert stack.count("tandem_requests_total") == 1
        assert stack.count("tandem_requests_total", reason="ok") == 0
        assert stack.backends["tf"].batches == []
        assert stack.backends["torch"].batches == []

    against(tmp_path, scenario)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"name": "z"}, "got inputs ['z'], model floats wants ['x']"),
        ({"name": "z"}, "unexpected inference input 'z' for model 'floats'; inputs: got"),
        ({"datatype": "FP64"}, "got FP64, model floats wants FP32"),
        (
            {"datatype": "FP64"},
            "inference input 'x' data-type is 'FP64', but model 'floats' expects 'FP32'; inputs[0]",
        ),
        ({"shape": [2, 2], "data": [[1, 2], [3, 4]]}, "wants [rows, 4]"),
        (
            {"shape": [2, 2], "data": [[1, 2], [3, 4]]},
            "unexpected shape for input 'x' for model 'floats'. Expected [-1,4], got [2,2]; inputs",
        ),
        ({"shape": [4, 4]}, "inputs[0]"),
        ({"shape": [10**9, 10**9], "data": [1]}, "inputs[0]"),
        ({"shape": [-1, 4]}, "inputs[0]"),
        ({"data": [[1, 2], [3]]}, "inputs[0]"),
        ({"datatype": "FP99"}, "inputs[0].datatype"),
    ],
)
def test_a_wrong_tensor_is_told_where_it_is_wrong(
    tmp_path: Path, change: dict[str, Any], text: str
) -> None:
    async def scenario(stack: Stack) -> None:
        body = oip_body([[1, 2, 3, 4]])
        body["inputs"][0].update(change)
        answer = await stack.rest.post(OIP, json=body)
        assert answer.status_code == 400, answer.text
        assert text in answer.json()["error"]
        assert stack.backends["torch"].batches == []

    against(tmp_path, scenario)


def test_a_body_over_the_limit_is_refused_declared_or_not_and_inflated_or_not(
    tmp_path: Path,
) -> None:
    async def chunks() -> Any:
        for _ in range(64):
            yield b" " * 64

    async def scenario(stack: Stack) -> None:
        bomb = gzip.compress(b" " * 1_000_000)
        assert len(bomb) < 1024 * 2
        for request in (
            {"content": b" " * 2000},
            {"content": chunks()},
            {"content": bomb, "headers": {"content-encoding": "gzip"}},
        ):
            answer = await stack.rest.post(TFS, **request)
            assert answer.status_code == 413, answer.text
            assert "limits.max_body_bytes" in answer.json()["error"]
        small = gzip.compress(b'{"instances": [[1,2,3,4]]}')
        plain = await stack.rest.post(TFS, content=small, headers={"content-encoding": "gzip"})
        assert plain.status_code == 200
        broken = await stack.rest.post(TFS, content=b"xx", headers={"content-encoding": "gzip"})
        assert broken.status_code == 400
        other = await stack.rest.post(TFS, content=b"xx", headers={"content-encoding": "br"})
        assert other.status_code == 501
        counted = stack.count("tandem_requests_total", reason="body_too_large", model="floats")
        assert counted == 3

    against(tmp_path, scenario, settings="[limits]\nmax_body_bytes = 1536\n")


def test_bodies_together_have_a_bound_too(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        gate = Gate()
        stack.backends["tf"].fault = gate
        path = "/v1/models/tokens:predict"
        async with asyncio.TaskGroup() as group:
            first = group.create_task(
                stack.rest.post(path, content=b'{"instances": [[1]]}' + b" " * 900)
            )
            await gate.reached()
            assert stack.count("tandem_in_flight_bytes") == 920
            refused = await stack.rest.post(path, content=b'{"instances": [[1]]}' + b" " * 900)
            assert refused.status_code == 429
            assert "limits.max_bytes_in_flight" in refused.json()["error"]
            gate.opened.set()
        assert first.result().status_code == 200
        assert stack.count("tandem_in_flight_bytes") == 0

    against(tmp_path, scenario, settings="[limits]\nmax_bytes_in_flight = 1500\n")


def test_health_metadata_and_status_in_both_dialects(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        get = stack.rest.get
        assert (await get("/v2/health/live")).json() == {"live": True}
        assert (await get("/v2/health/ready")).json() == {"ready": True}
        assert (await get("/v2")).json()["name"] == "tandem"
        assert (await get("/v2/models/floats/ready")).json() == {"name": "floats", "ready": True}
        assert (await get("/v2/models/floats/versions/9/ready")).status_code == 503
        assert (await get("/v2/models/none/ready")).status_code == 404
        metadata = (await get("/v2/models/floats")).json()
        assert metadata["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}]
        assert metadata["versions"] == ["1"]
        status = (await get("/v1/models/floats")).json()
        assert status["model_version_status"][0]["state"] == "AVAILABLE"
        described = (await get("/v1/models/floats/metadata")).json()
        assert described["model_spec"]["name"] == "floats"
        assert (await get("/v1/models")).json() == {"models": ["floats", "pairs", "tokens"]}
        unknown = await get("/v1/models/none")
        assert unknown.status_code == 404
        assert unknown.json() == {"error": "Could not find any versions of model none"}
        assert (await stack.rest.get("/docs")).status_code == 200

    against(tmp_path, scenario)
