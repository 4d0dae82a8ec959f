"""The backend that speaks TorchServe's REST APIs, before a real HTTP server in this process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import numpy as np
import pytest
from aiohttp import web

from gateway.backends.http_link import HttpLink
from gateway.backends.torchserve import TorchServeBackend
from gateway.errors import (
    BackendBusy,
    BackendInvalid,
    BackendRefused,
    BackendUnavailable,
    UnknownModel,
)
from gateway.messages import Deadline, InferRequest, VersionStatus
from gateway.tensors import Signature, Tensor, TensorSpec
from tests.backends.http_server import Answer, fixed, serving_http

SIGNATURE = Signature(
    "serving_default", {"x": TensorSpec("x", "FP32", (-1,))}, {"y": TensorSpec("y", "FP32", (-1,))}
)
BATCH = InferRequest(model="m", inputs=(Tensor("x", "FP32", np.array([1, 2], "<f4")),))
PING = fixed(b'{"status": "Healthy"}')
TOLD = {
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1]}],
    "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1]}],
}


def soon() -> Deadline:
    return Deadline.after(asyncio.get_running_loop().time(), 20)


def listed(*versions: str, workers: int = 1, **more: object) -> Answer:
    ready = [{"status": "READY"}] * workers
    body = [{"modelVersion": version, "workers": ready, **more} for version in versions]
    return fixed(json.dumps(body).encode())


def error(status: int, kind: str, text: str) -> Answer:
    return fixed(json.dumps({"code": status, "type": kind, "message": text}).encode(), status)


@asynccontextmanager
async def backend_of(
    answers: Mapping[str, Answer],
    *,
    managed: bool = False,
    declared: Mapping[str, Signature] | None = None,
) -> AsyncIterator[TorchServeBackend]:
    async with serving_http({"GET /ping": PING, **answers}) as address:
        link = HttpLink("ts", address, max_message_bytes=2**20)
        management = HttpLink("ts", address, max_message_bytes=2**20) if managed else None
        backend = TorchServeBackend(link, management=management, declared=declared)
        try:
            yield backend
        finally:
            await backend.aclose()


async def double(request: web.Request) -> web.Response:
    rows = (await request.json())["instances"]
    return web.json_response({"predictions": [row * 2 for row in rows]})


def test_a_batch_comes_back_answered() -> None:
    """By the version that was asked for, the default one where none was."""

    async def story() -> None:
        answers = {"POST /predictions/m": double, "POST /predictions/m/2.0": double}
        async with backend_of(answers, declared={"m": SIGNATURE}) as backend:
            described = await backend.describe("m", None)
            assert (described.version, described.signatures["serving_default"]) == ("", SIGNATURE)
            assert (await backend.infer(BATCH, soon())).outputs[0].array.tolist() == [2.0, 4.0]
            versioned = InferRequest(model="m", inputs=BATCH.inputs, version="2.0")
            assert (await backend.infer(versioned, soon())).version == "2.0"
            assert await backend.versions("m") == ()
            assert repr(backend).startswith("TorchServeBackend('ts', '127.0.0.1:")

    asyncio.run(story())


def test_without_a_signature_the_error_says_what_to_do() -> None:
    """At the first question, and at a batch."""

    async def story() -> None:
        async with backend_of({}) as backend:
            with pytest.raises(BackendInvalid, match=r"\[\[backends\.ts\.declared\]\]"):
                await backend.describe("m", None)
            with pytest.raises(BackendInvalid, match="no typed signatures"):
                await backend.infer(BATCH, soon())

    asyncio.run(story())


def test_a_models_code_may_describe_itself() -> None:
    """Asked once a version, because a worker must answer; what is declared wins."""
    asked: list[str] = []

    async def describe(request: web.Request) -> web.Response:
        asked.append(request.query_string)
        told = TOLD if request.query_string else None
        return web.json_response(
            [{"modelVersion": "1.0", "workers": [{"status": "READY"}], "customizedMetadata": told}]
        )

    async def story() -> None:
        answers = {"GET /models/m": describe, "GET /models/m/all": listed("1.0", "2.0")}
        async with backend_of(answers, managed=True) as backend:
            for _ in range(3):
                described = await backend.describe("m", None)
            assert (described.version, described.platform) == ("1.0", "torchserve")
            assert described.signatures["serving_default"] == SIGNATURE
            assert await backend.versions("m") == (
                VersionStatus(version="1.0", state="AVAILABLE"),
                VersionStatus(version="2.0", state="AVAILABLE"),
            )
        async with backend_of(answers, managed=True, declared={"m": SIGNATURE}) as backend:
            await backend.describe("m", None)

    asyncio.run(story())
    assert asked == ["", "customized=true", "", "", ""]


def test_no_worker_no_model_and_no_server() -> None:
    """Three different things."""

    async def story() -> None:
        gone = error(404, "ModelNotFoundException", "Model not found: m")
        declared = {"m": SIGNATURE}
        for answer, kind in ((listed("1", workers=0), BackendUnavailable), (gone, UnknownModel)):
            answers = {"GET /models/m": answer}
            async with backend_of(answers, managed=True, declared=declared) as backend:
                with pytest.raises(kind):
                    await backend.describe("m", None)
        ill = {"GET /ping": error(500, "x", "Unhealthy")}
        async with backend_of(ill, declared=declared) as backend:
            with pytest.raises(BackendRefused, match="Unhealthy"):
                await backend.describe("m", None)

    asyncio.run(story())


def test_a_models_errors_are_passed_on() -> None:
    """No worker is 503 and may be tried again; what its code raised is not."""

    async def story() -> None:
        for answer, kind in (
            (error(503, "ServiceUnavailableException", "no worker"), BackendBusy),
            (error(500, "InternalServerException", "Prediction failed"), BackendRefused),
            (fixed(b'{"predictions": "odd"}'), BackendInvalid),
        ):
            answers = {"POST /predictions/m": answer}
            async with backend_of(answers, declared={"m": SIGNATURE}) as backend:
                with pytest.raises(kind, match="backend ts"):
                    await backend.infer(BATCH, soon())

    asyncio.run(story())
