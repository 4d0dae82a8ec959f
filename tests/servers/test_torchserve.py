"""TorchServe's REST dialect against a real gateway over real sockets: answers, errors, and the books."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fakes.arithmetic import Arithmetic
from tests.fakes.gateways import Stack, against, until

ROW, ANSWER = [1, 2, 3, 4], [3.0, 5.0, 7.0, 9.0]
FLOATS = "/predictions/floats"
NOT_KEPT = "no-cache; no-store, must-revalidate, private"


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


RAW = np.array(ROW, "<f4").tobytes()


@pytest.mark.parametrize(
    ("path", "sent", "wanted"),
    [
        (FLOATS, {"json": ROW}, ANSWER),
        (FLOATS, {"json": {"data": [ROW]}}, [ANSWER]),
        (FLOATS, {"json": {"instances": [ROW]}}, {"predictions": [ANSWER]}),
        (FLOATS, {"json": {"inputs": {"x": [ROW]}}}, {"outputs": [ANSWER]}),
        (f"{FLOATS}/1", {"content": npy(np.array([ROW, ROW]))}, [ANSWER, ANSWER]),
        (f"{FLOATS}/", {"content": RAW}, [ANSWER]),
        (FLOATS, {"files": {"data": ("f.npy", npy(np.array(ROW)))}}, ANSWER),
        (FLOATS, {"data": {"x": json.dumps(ROW)}}, ANSWER),
        ("/predictions/pairs", {"json": {"a": [1, 2], "b": 3}}, {"sum": [4.0, 5.0], "twice": 6}),
        ("/predictions/pairs", {"data": {"a": "[1, 2]", "b": "3"}}, {"sum": [4, 5], "twice": 6}),
        (
            "/predictions/pairs",
            {"json": {"instances": [{"a": [1, 2], "b": 3}]}},
            {"predictions": [{"sum": [4.0, 5.0], "twice": 6}]},
        ),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_every_form_of_a_prediction_is_answered_in_its_form(
    tmp_path: Path, method: str, path: str, sent: Mapping[str, Any], wanted: Any
) -> None:
    async def scenario(stack: Stack) -> None:
        answer = await stack.rest.request(method, path, **sent)
        assert (answer.status_code, answer.json()) == (200, wanted)
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["cache-control"] == NOT_KEPT
        assert stack.count("tandem_requests_total", dialect="torchserve_rest", reason="ok") == 1
        assert stack.count("tandem_requests_total") == 1

    against(tmp_path, scenario)


def test_the_protocols_json_is_answered_in_the_protocols(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        tensor = {"name": "x", "shape": [1, 4], "datatype": "FP32", "data": ROW}
        answer = await stack.rest.post(FLOATS, json={"id": "mine", "inputs": [tensor]})
        assert answer.json() == {
            "model_name": "floats",
            "model_version": "1",
            "id": "mine",
            "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 4], "data": ANSWER}],
        }

    against(tmp_path, scenario)


@pytest.mark.parametrize(
    ("method", "path", "content", "status", "kind", "text"),
    [
        ("POST", "/predictions/none", b"", 404, "ModelNotFoundException", "Model not found: none"),
        ("POST", "/predictions/n%C3%A9/1", b"", 404, "ModelNotFoundException", "found: né"),
        (
            "POST",
            f"{FLOATS}/9.1",
            b"not looked at",
            404,
            "ModelVersionNotFoundException",
            "Model version: 9.1 does not exist for model: floats",
        ),
        ("POST", FLOATS, b"[1", 400, "BadRequestException", "not JSON"),
        ("POST", FLOATS, b"[1, 2]", 400, "BadRequestException", "got [1, 2], model floats wants"),
        ("POST", FLOATS, b"", 400, "BadRequestException", "not JSON"),
        ("GET", FLOATS, b"", 405, "MethodNotAllowedException", "method is not allowed"),
        ("POST", "/predictions/", b"", 404, "ResourceNotFoundException", "API document"),
        ("POST", f"{FLOATS}/1/more", b"", 404, "ResourceNotFoundException", "API document"),
        ("POST", "/explanations/floats", b"1", 501, "NotImplementedException", "explanations"),
        ("OPTIONS", "/predictions/none", b"", 404, "ModelNotFoundException", "found: none"),
        ("OPTIONS", f"{FLOATS}/2", b"", 404, "ModelVersionNotFoundException", "version: 2"),
        ("POST", FLOATS, b"0" * 3000, 413, "BadRequestException", "body"),
    ],
)
def test_errors_are_torchserves(
    tmp_path: Path, method: str, path: str, content: bytes, status: int, kind: str, text: str
) -> None:
    async def scenario(stack: Stack) -> None:
        answer = await stack.rest.request(method, path, content=content)
        told = answer.json()
        assert (answer.status_code, told["code"], told["type"]) == (status, status, kind)
        assert text in told["message"]
        assert stack.count("tandem_requests_total", dialect="torchserve_rest") == 1
        assert stack.count("tandem_requests_total", reason="ok") == 0

    against(tmp_path, scenario, settings="[limits]\nmax_body_bytes = 2048\n")


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        (
            "/predictions/none",
            404,
            (
                b'{\n  "code": 404,\n  "type": "ModelNotFoundException",\n'
                b'  "message": "Model not found: none"\n}\n'
            ),
        ),
        (
            f"{FLOATS}/9",
            404,
            (
                b'{\n  "code": 404,\n  "type": "ModelVersionNotFoundException",\n'
                b'  "message": "Model version: 9 does not exist for model: floats"\n}\n'
            ),
        ),
        (
            "/predictions/",
            404,
            (
                b'{\n  "code": 404,\n  "type": "ResourceNotFoundException",\n'
                b'  "message": "Requested resource is not found, please refer to API document."\n}\n'
            ),
        ),
    ],
)
def test_errors_are_byte_for_byte_those_of_torchserve_0_12_0(
    tmp_path: Path, path: str, status: int, body: bytes
) -> None:
    async def scenario(stack: Stack) -> None:
        answer = await stack.rest.post(path, json={})
        assert (answer.status_code, answer.content) == (status, body)

    against(tmp_path, scenario)


def test_a_full_gateway_is_429_and_a_lost_backend_503(tmp_path: Path) -> None:
    async def full(stack: Stack) -> None:
        answer = await stack.rest.post(FLOATS, json=[ROW, ROW, ROW])
        assert (answer.status_code, answer.json()["type"]) == (429, "ServiceUnavailableException")
        assert answer.headers["retry-after"] == "1"

    limits = "[limits]\nmax_bytes_in_flight = 16\n"
    against(tmp_path, full, settings=limits)

    async def lost(stack: Stack) -> None:
        answer = await stack.rest.post("/predictions/pairs", json={"a": [1, 2], "b": 3})
        assert (answer.status_code, answer.json()["type"]) == (503, "ServiceUnavailableException")
        assert (
            'Model "pairs" has no worker to serve inference request; ' in answer.json()["message"]
        )

    torch = Arithmetic(models=frozenset({"floats"}))
    against(tmp_path, lost, backends={"tf": Arithmetic(), "torch": torch})


def test_large_json_is_read_and_written_in_the_worker_process(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        rows = [ROW] * 4000
        for sent in ({"json": {"instances": rows}}, {"files": {"data": json.dumps(rows).encode()}}):
            answer = await stack.rest.post(FLOATS, **sent)
            found = answer.json()
            assert (found["predictions"] if "json" in sent else found) == [ANSWER] * 4000
        assert stack.count("tandem_heavy_jobs_total", outcome="done") == 4
        binary = await stack.rest.post(FLOATS, content=npy(np.array(rows, "<f4")))
        assert len(binary.json()) == 4000
        only_the_answer = stack.count("tandem_heavy_jobs_total", outcome="done") - 4
        assert only_the_answer == 1
        broken = await stack.rest.post(FLOATS, content=b"[" * 20_000)
        assert (broken.status_code, broken.json()["type"]) == (400, "BadRequestException")

    against(tmp_path, scenario)


_LARGE = [ROW] * 4000


@pytest.mark.parametrize(
    "form",
    [
        {"json": {"instances": _LARGE}},
        {"files": {"data": json.dumps({"instances": _LARGE}).encode()}},
    ],
)
def test_a_reload_loses_no_body_that_is_being_read(tmp_path: Path, form: Mapping[str, Any]) -> None:
    """Its lane is found by the configuration that holds when it has been read."""

    async def scenario(stack: Stack) -> None:
        assert (await stack.rest.post(FLOATS, **form)).status_code == 200
        worker = stack.gateway._heavy.worker_pid
        assert worker is not None
        async with asyncio.TaskGroup() as group:
            os.kill(worker, signal.SIGSTOP)
            try:
                asked = group.create_task(stack.rest.post(FLOATS, **form))
                await until(lambda: stack.count("tandem_heavy_queued") == 1)
                heading = "[models.floats.batching]\n"
                more = f"{heading}max_batch_rows = 8\nmax_queued_rows = 8000\n"
                stack.path.write_text(stack.path.read_text().replace(heading, more))
                reloads = "tandem_config_reloads_total"
                await until(lambda: stack.count(reloads, outcome="applied") == 1)
            finally:
                os.kill(worker, signal.SIGCONT)
        answer = asked.result()
        assert (answer.status_code, answer.json()) == (200, {"predictions": [ANSWER] * 4000})

    against(tmp_path, scenario)


@pytest.mark.parametrize("path", ["/predictions", "/predictions/", "/explanations"])
def test_who_names_no_model_is_told_so_as_torchserve_does(tmp_path: Path, path: str) -> None:
    async def scenario(stack: Stack) -> None:
        answer = await stack.rest.post(path, json=[1])
        assert answer.status_code == 404
        assert answer.json() == {
            "code": 404,
            "type": "ResourceNotFoundException",
            "message": "Requested resource is not found, please refer to API document.",
        }

    against(tmp_path, scenario)


def test_health_and_descriptions_are_told(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        ping = await stack.rest.get("/ping")
        assert (ping.status_code, ping.text) == (200, '{\n  "status": "Healthy"\n}\n')
        for method in ("HEAD", "POST", "PUT", "DELETE"):  # it looks at none
            again = await stack.rest.request(method, "/ping")
            assert (again.status_code, again.text) == (200, "" if method == "HEAD" else ping.text)
        api = (await stack.rest.options("/")).json()
        assert api == (await stack.rest.get("/api-description")).json()
        assert {"post", "put"} <= api["paths"]["/predictions/{model}"].keys()
        model = (await stack.rest.options("/predictions/pairs")).json()
        content = model["paths"]["/predictions/pairs"]["post"]["requestBody"]["content"]
        inputs = content["application/json"]["schema"]["properties"]
        assert inputs == {
            "a": {"description": "FP32 [rows, 2]"},
            "b": {"description": "INT32 [rows]"},
        }
        await stack.gateway.drain()

    against(tmp_path, scenario)


def test_the_examples_of_the_description_run(tmp_path: Path) -> None:
    """They are for the demo's model, which has the shapes of this one."""

    async def scenario(stack: Stack) -> None:
        api = (await stack.rest.get("/openapi.json")).json()
        post = api["paths"]["/predictions/{model}"]["post"]
        examples = post["requestBody"]["content"]["application/json"]["examples"]
        assert len(examples) == 3
        for example in examples.values():
            answer = await stack.rest.post(FLOATS, json=example["value"])
            assert answer.status_code == 200

    against(tmp_path, scenario)
