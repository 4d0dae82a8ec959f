"""The backend that speaks the Open Inference Protocol over REST, before a real HTTP server in this process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import numpy as np
import pytest
from aiohttp import web

from gateway.backends.http_link import HttpLink
from gateway.backends.oip_rest import OipRestBackend
from gateway.codecs import oip_json
from gateway.errors import (
    BackendBusy,
    BackendInvalid,
    BackendRefused,
    BackendTimeout,
    BackendUnavailable,
    GatewayError,
    InputRefused,
    InputTooLarge,
    UnknownModel,
)
from gateway.messages import Deadline, InferRequest, InferResponse, VersionStatus
from gateway.tensors import Tensor
from tests.backends.http_server import Answer, fixed, serving_http

HEADER = "Inference-Header-Content-Length"
HALVES = Tensor("x", "FP16", np.arange(20, dtype="<f2").reshape(10, 2))
BATCH = InferRequest(model="m/1", version="2", inputs=(HALVES,))
METADATA = {
    "name": "m/1",
    "versions": ["1", "2"],
    "platform": "p",
    "inputs": [{"name": "x", "datatype": "FP16", "shape": [-1, 2]}],
    "outputs": [{"name": "x", "datatype": "FP16", "shape": [-1, 2]}],
}
MODEL = "/v2/models/m%2F1"


def said(value: object, status: int = 200) -> Answer:
    return fixed(json.dumps(value).encode(), status)


def server(*extensions: str) -> Answer:
    return said({"name": "s", "version": "1", "extensions": list(extensions)})


def soon() -> Deadline:
    return Deadline.after(asyncio.get_running_loop().time(), 20)


@asynccontextmanager
async def backend_of(answers: Mapping[str, Answer]) -> AsyncIterator[OipRestBackend]:
    async with serving_http(answers) as address:
        backend = OipRestBackend(HttpLink("pt", address, max_message_bytes=2**20))
        try:
            yield backend
        finally:
            await backend.aclose()


class Echo:
    """A model that gives its input back, in the form that it got it in."""

    def __init__(self) -> None:
        self.types: list[str] = []

    async def answer(self, request: web.Request) -> web.Response:
        body, length = await request.read(), request.headers.get(HEADER)
        self.types.append(request.content_type)
        if length is None:
            document = json.loads(body)
            return web.json_response({"model_name": "m/1", "outputs": document["inputs"]})
        asked, form = oip_json.decode_request(body, int(length), model="m/1", version=None)
        response = InferResponse(model="m/1", version="2", outputs=asked.inputs)
        answer, told = oip_json.encode_response(response, form)
        return web.Response(body=answer, headers={} if told is None else {HEADER: str(told)})


class TestInfer:
    @pytest.mark.parametrize("binary", [True, False])
    def test_raw_bytes_where_the_server_takes_them_else_json(self, *, binary: bool) -> None:
        """FP16 passes either way."""
        echo = Echo()
        answers = {
            "GET /v2": server(*["binary_tensor_data"] * binary),
            f"GET {MODEL}/versions/2": said(METADATA),
            f"POST {MODEL}/versions/2/infer": echo.answer,
        }

        async def story() -> None:
            async with backend_of(answers) as backend:
                described = await backend.describe("m/1", "2")
                assert described.signatures["serving_default"].is_batchable
                response = await backend.infer(BATCH, soon())
                assert response.outputs[0].datatype == "FP16"
                assert response.outputs[0].array.tolist() == HALVES.array.tolist()

        asyncio.run(story())
        assert echo.types == ["application/octet-stream" if binary else "application/json"]

    def test_a_model_tells_how_many_rows_it_takes(self) -> None:
        """Its lane keeps to that."""
        answers = {
            "GET /v2": server("binary_tensor_data", "model_configuration"),
            f"GET {MODEL}/versions/2": said(METADATA),
            f"GET {MODEL}/versions/2/config": said({"max_batch_size": 4}),
        }

        async def story() -> None:
            async with backend_of(answers) as backend:
                assert (await backend.describe("m/1", "2")).max_rows == 4

        asyncio.run(story())

    def test_a_model_that_does_not_batch_has_no_rows(self) -> None:
        """Although its first dimension is dynamic."""
        answers = {
            "GET /v2": server("model_configuration"),
            f"GET {MODEL}": said(METADATA),
            f"GET {MODEL}/config": said({"max_batch_size": 0}),
        }

        async def story() -> None:
            async with backend_of(answers) as backend:
                described = await backend.describe("m/1", None)
                assert not described.signatures["serving_default"].is_batchable
                assert described.version == "2"

        asyncio.run(story())

    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (400, InputRefused),
            (422, InputRefused),
            (413, InputTooLarge),
            (404, BackendRefused),
            (500, BackendRefused),
            (302, BackendRefused),
            (429, BackendBusy),
            (503, BackendBusy),
            (502, BackendUnavailable),
            (504, BackendTimeout),
        ],
    )
    def test_a_servers_error_is_passed_on(self, status: int, kind: type[GatewayError]) -> None:
        """With its text, whichever server's form it has."""

        async def story() -> None:
            for body in ({"error": "so wrong"}, {"detail": [{"msg": "so wrong"}]}, "so wrong"):
                answers = {f"POST {MODEL}/versions/2/infer": said(body, status)}
                async with backend_of(answers) as backend:
                    with pytest.raises(kind, match="so wrong") as caught:
                        await backend.infer(BATCH, soon())
                    assert type(caught.value) is kind

        asyncio.run(story())

    @pytest.mark.parametrize(
        ("body", "length"), [(b"{", None), (b"[]", None), (b"{}", "x"), (b"{}", "99")]
    )
    def test_an_answer_that_cannot_be_read_is_the_backends_fault(
        self, body: bytes, length: str | None
    ) -> None:
        headers = {} if length is None else {HEADER: length}
        answers = {f"POST {MODEL}/versions/2/infer": fixed(body, headers=headers)}

        async def story() -> None:
            async with backend_of(answers) as backend:
                with pytest.raises(BackendInvalid, match="backend pt"):
                    await backend.infer(BATCH, soon())

        asyncio.run(story())


class TestVersions:
    def test_the_index_says_it_all(self) -> None:
        index = [
            {"name": "m/1", "version": "1", "state": "UNAVAILABLE", "reason": "unloaded"},
            {"name": "m/1", "version": "2", "state": "READY"},
            {"name": "other"},
        ]

        async def story() -> None:
            async with backend_of({"POST /v2/repository/index": said(index)}) as backend:
                assert await backend.versions("m/1") == (
                    VersionStatus(version="2", state="AVAILABLE"),
                    VersionStatus(version="1", state="END"),
                )
                with pytest.raises(UnknownModel):
                    await backend.versions("absent")

        asyncio.run(story())

    @pytest.mark.parametrize("status", [403, 404])
    def test_without_an_index_each_listed_version_is_asked(self, status: int) -> None:
        """Where there is none, or it is kept from us."""
        answers = {
            "POST /v2/repository/index": said({"error": "no"}, status),
            f"GET {MODEL}": said(METADATA),
            f"GET {MODEL}/versions/2/ready": said({}, 400),
            f"GET {MODEL}/versions/1/ready": said({}),
        }

        async def story() -> None:
            async with backend_of(answers) as backend:
                assert await backend.versions("m/1") == (
                    VersionStatus(version="2", state="LOADING"),
                    VersionStatus(version="1", state="AVAILABLE"),
                )
                with pytest.raises(UnknownModel):
                    await backend.versions("absent")
                assert repr(backend).startswith("OipRestBackend('pt', '127.0.0.1:")

        asyncio.run(story())
