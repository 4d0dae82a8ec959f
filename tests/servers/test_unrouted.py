"""What is said to those who ask for what is not served, and how it is counted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.fakes.gateways import Stack, against

Ask = Callable[[grpc.aio.Channel, str], Any]


def test_a_path_outside_the_dialects_is_told_what_is_served(tmp_path: Path) -> None:
    """In the form of every other error, on either listener."""

    async def scenario(stack: Stack) -> None:
        answer = await stack.rest.get("/predict")
        assert answer.status_code == 404
        text = answer.json()["error"]
        assert text.startswith("GET /predict: Not Found, served here: ")
        for path in ("/v1/models/{model}:predict", "/v2/models/{model}/infer", "/docs"):
            assert path in text
        answer = await stack.admin.get("/v1/models/floats")
        assert answer.status_code == 404
        assert "/metrics" in answer.json()["error"]
        answer = await stack.admin.post("/healthz")
        assert answer.status_code == 405
        assert answer.headers["allow"] == "GET"
        assert answer.json() == {
            "error": "POST /healthz: Method Not Allowed, this path takes GET",
        }
        answer = await stack.rest.get("/v2/nothing")
        assert (answer.status_code, answer.json()) == (404, {"error": "Not Found"})
        answer = await stack.rest.post("/v2/models")
        assert (answer.status_code, answer.json()) == (405, {"error": "Method Not Allowed"})
        for method in ("GET", "PUT", "DELETE", "OPTIONS"):
            for path in ("/v2/models/floats/infer", "/v2/models/none/versions/1/infer"):
                answer = await stack.rest.request(method, path)
                assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
                assert answer.json() == {"error": "Method Not Allowed"}
        answer = await stack.admin.post("/v2/models/floats/infer")
        assert answer.status_code == 404
        assert len((await stack.rest.get(f"/{'x' * 9000}")).json()["error"]) < 4096

    against(tmp_path, scenario)


@pytest.mark.parametrize(
    "ask",
    [
        lambda channel, method: channel.unary_unary(method)(b"", timeout=20),
        lambda channel, method: channel.stream_unary(method)(iter(()), timeout=20),
    ],
    ids=["unary", "stream"],
)
def test_a_method_that_nobody_has_is_refused_and_counted(tmp_path: Path, ask: Ask) -> None:
    """With the services that are there."""

    async def scenario(stack: Stack) -> None:
        async with grpc.aio.insecure_channel(stack.grpc) as channel:
            for method in ("/inference.GRPCInferenceService/Infer", "/no.such.Service/Call"):
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await ask(channel, method)
                assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
                assert method in (caught.value.details() or "")
                assert "tensorflow.serving.PredictionService" in (caught.value.details() or "")
        assert stack.count("tandem_requests_total", dialect="", reason="unsupported") == 2

    against(tmp_path, scenario)


@pytest.mark.parametrize(
    ("method", "data", "model"),
    [
        # A name, and then a field that ends too soon.
        ("inference.GRPCInferenceService/ModelInfer", b"\x0a\x06floats\x2a\x7f", "floats"),
        (
            "tensorflow.serving.PredictionService/Predict",
            b"\x0a\x08\x0a\x06floats\x12\x7f",
            "floats",
        ),
        (
            "tensorflow.serving.PredictionService/MultiInference",
            b"\x0a\x0a\x0a\x08\x0a\x06floats\x12\x7f",
            "floats",
        ),
        ("inference.GRPCInferenceService/ModelInfer", b"\x0a\x05other\x2a\x7f", ""),
        ("inference.GRPCInferenceService/ModelInfer", b"\xff", ""),
    ],
)
def test_a_message_that_cannot_be_read_is_counted_under_the_model_it_names(
    tmp_path: Path, method: str, data: bytes, model: str
) -> None:
    async def scenario(stack: Stack) -> None:
        async with grpc.aio.insecure_channel(stack.grpc) as channel:
            call: Any = channel.unary_unary(f"/{method}")
            with pytest.raises(grpc.aio.AioRpcError):
                await call(data, timeout=20)
        assert stack.count("tandem_requests_total", model=model, reason="invalid_request") == 1

    against(tmp_path, scenario)
