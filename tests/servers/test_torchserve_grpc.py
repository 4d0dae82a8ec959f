"""TorchServe's gRPC dialect against a real gateway: predictions, errors, health, and the books."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.empty_pb2 import Empty

from gateway._stubs import torchserve_wire_pb2 as wire
from gateway.codecs import oip_proto
from gateway.messages import InferRequest
from gateway.tensors import Tensor
from tests.fakes.gateways import Stack, against
from tests.servers.test_torchserve import ANSWER, FLOATS, RAW, ROW, npy

SERVICE = "/org.pytorch.serve.grpc.inference.InferenceAPIsService"
OIP = "/org.pytorch.serve.grpc.openinference.GRPCInferenceService"
PACKAGE = "org.pytorch.serve.archive.model"


def call(channel: grpc.aio.Channel, path: str, message: bytes, **options: Any) -> Any:
    method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(path)
    return method(message, **options)


def prediction(model: str, fields: Mapping[str, bytes], version: str = "") -> bytes:
    request = wire.PredictionsRequest(model_name=model, model_version=version, input=dict(fields))
    return request.SerializeToString()


@pytest.mark.parametrize(
    ("model", "fields", "wanted"),
    [
        ("floats", {"data": json.dumps(ROW).encode()}, ANSWER),
        ("floats", {"body": npy(np.array([ROW]))}, [ANSWER]),
        ("floats", {"x": RAW}, [ANSWER]),
        ("floats", {"data": json.dumps({"instances": [ROW]}).encode()}, {"predictions": [ANSWER]}),
        ("pairs", {"a": b"[1, 2]", "b": npy(np.array(3))}, {"sum": [4.0, 5.0], "twice": 6}),
        ("floats", {"data": json.dumps([ROW] * 2000).encode()}, [ANSWER] * 2000),
    ],
)
def test_predictions_over_grpc(
    tmp_path: Path, model: str, fields: Mapping[str, bytes], wanted: Any
) -> None:
    async def scenario(stack: Stack) -> None:
        async with grpc.aio.insecure_channel(stack.grpc) as channel:
            answered = call(channel, f"{SERVICE}/Predictions", prediction(model, fields, "1"))
            response = wire.PredictionResponse.FromString(await answered)
        assert json.loads(response.prediction) == wanted
        assert stack.count("tandem_requests_total", dialect="torchserve_grpc", reason="ok") == 1
        assert stack.count("tandem_requests_total") == 1

    against(tmp_path, scenario)


@pytest.mark.parametrize(
    ("message", "code", "text"),
    [
        (
            prediction("none", {"data": b"1"}),
            "INTERNAL",
            f"Model not found: none\n{PACKAGE}.ModelNotFoundException",
        ),
        (
            prediction("floats", {"data": b"1"}, "9"),
            "INTERNAL",
            f"Model version: 9 does not exist for model: floats\n{PACKAGE}.ModelVersionNotFoundException",
        ),
        (
            prediction("", {}),
            "INTERNAL",
            "Parameter model_name is required.\nBadRequestException.()",
        ),
        (prediction("floats", {}), "INVALID_ARGUMENT", "got no fields"),
        (prediction("floats", {"data": b"\0" * 5}), "INVALID_ARGUMENT", "a multiple of 16"),
        (b"\xff", "INVALID_ARGUMENT", "no PredictionsRequest message"),
        (
            prediction("floats", {str(i): b"" for i in range(257)}),
            "INVALID_ARGUMENT",
            "at most 256",
        ),
    ],
)
def test_errors_over_grpc(tmp_path: Path, message: bytes, code: str, text: str) -> None:
    async def scenario(stack: Stack) -> None:
        async with grpc.aio.insecure_channel(stack.grpc) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(channel, f"{SERVICE}/Predictions", message)
        assert caught.value.code() is grpc.StatusCode[code]
        assert text in (caught.value.details() or "")
        assert stack.count("tandem_requests_total", dialect="torchserve_grpc") == 1

    against(tmp_path, scenario)


def test_ping_and_the_open_inference_protocol_under_torchserves_name(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        async with grpc.aio.insecure_channel(stack.grpc) as channel:
            ping = await call(channel, f"{SERVICE}/Ping", Empty().SerializeToString())
            told = wire.TorchServeHealthResponse.FromString(ping)
            assert told.health == '{\n  "status": "Healthy"\n}'
            request = InferRequest(
                model="floats", inputs=(Tensor("x", "FP32", np.array([ROW], "<f4")),)
            )
            answered = await call(channel, f"{OIP}/ModelInfer", oip_proto.encode_request(request))
            assert oip_proto.decode_response(answered).outputs[0].array.tolist() == [ANSWER]
            ready = await call(channel, f"{OIP}/ServerReady", b"")
            assert ready == b"\x08\x01"
        assert stack.count("tandem_requests_total", dialect="oip_grpc", reason="ok") == 1

    against(tmp_path, scenario)


def test_a_calls_deadline_and_explanations_hold_here_too(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        headers = {"x-tandem-explain": "1", "x-tandem-arm": "torch", "x-request-id": "abc"}
        rest = await stack.rest.post(FLOATS, json=ROW, headers=headers)
        assert (rest.headers["x-tandem-arm"], rest.headers["x-request-id"]) == ("torch", "abc")
        late = await stack.rest.post(FLOATS, json=ROW, headers={"x-tandem-timeout-ms": "0"})
        assert (late.status_code, late.json()["type"]) == (400, "BadRequestException")
        async with grpc.aio.insecure_channel(stack.grpc) as channel:
            message = prediction("floats", {"data": RAW})
            answered = call(
                channel, f"{SERVICE}/Predictions", message, metadata=tuple(headers.items())
            )
            await answered
            assert dict(await answered.trailing_metadata())["x-tandem-arm"] == "torch"

    against(tmp_path, scenario)
