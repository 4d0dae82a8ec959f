"""Request ids and W3C traces: taken over REST and gRPC, carried to the backend, returned."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from gateway.codecs import oip_proto, tfs_proto
from gateway.messages import InferRequest
from gateway.tensors import Tensor
from tests.fakes.arithmetic import Gate
from tests.fakes.gateways import Stack, against, until

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TRACED = {"traceparent": PARENT, "tracestate": "a=1", "x-request-id": "r-1"}
ROW = {"instances": [[1, 2, 3, 4]]}
OIP = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}
CARRIED = ("traceparent", "tracestate", "x-request-id")


def carried(stack: Stack, arm: str) -> dict[str, str]:
    """What the last batch carried to this arm's backend, of what is ours."""
    told = stack.backends[arm].metadata[-1]
    return {name: told[name] for name in CARRIED if name in told}


@pytest.mark.parametrize("arm", ["tf", "torch"])
@pytest.mark.parametrize(
    ("path", "body"), [("/v1/models/floats:predict", ROW), ("/v2/models/floats/infer", OIP)]
)
def test_over_rest_a_trace_goes_through_and_comes_back(
    tmp_path: Path, path: str, body: dict[str, Any], arm: str
) -> None:
    """To a TF Serving and to a server of the Open Inference Protocol, which is told the id as its own."""

    async def scenario(stack: Stack) -> None:
        forced = {"x-tandem-arm": arm}
        answer = await stack.rest.post(path, json=body, headers={**TRACED, **forced})
        assert answer.status_code == 200
        assert {name: answer.headers[name] for name in CARRIED} == TRACED
        assert carried(stack, arm) == TRACED
        if arm == "torch":
            assert stack.backends[arm].requests[-1].id == "r-1"
        plain = await stack.rest.post(path, json=body, headers=forced)
        assert "traceparent" not in plain.headers
        assert carried(stack, arm) == {}
        await stack.rest.post(path, json=body, headers={**forced, "x-request-id": "alone"})
        assert carried(stack, arm) == {"x-request-id": "alone"}
        missing = await stack.rest.post(path, json={}, headers={**TRACED, **forced})
        assert missing.status_code == 400
        assert missing.headers["traceparent"] == PARENT

    against(tmp_path, scenario)


def test_a_trace_that_is_no_trace_is_ignored(tmp_path: Path) -> None:
    """Whether it is malformed or given twice; the request is answered."""

    async def scenario(stack: Stack) -> None:
        twice = [("traceparent", PARENT), ("traceparent", PARENT), ("x-tandem-arm", "tf")]
        for headers in (twice, [("traceparent", PARENT[:-1]), ("x-tandem-arm", "tf")]):
            answer = await stack.rest.post("/v1/models/floats:predict", json=ROW, headers=headers)
            assert answer.status_code == 200
            assert "traceparent" not in answer.headers
            told = carried(stack, "tf")
            assert told == {"x-request-id": answer.headers["x-request-id"]}

    against(tmp_path, scenario)


def test_a_batch_of_several_has_a_trace_of_its_own_and_the_log_tells_whose(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It cannot carry several; the callers get their own back."""
    caplog.set_level(logging.DEBUG, "tandem.lanes")
    path, body = "/v1/models/tokens:predict", {"instances": [[1, 2]]}

    async def scenario(stack: Stack) -> None:
        gate = Gate()
        stack.backends["tf"].fault = gate
        async with asyncio.TaskGroup() as group:
            group.create_task(stack.rest.post(path, json=body))
            await gate.reached()
            traced = group.create_task(stack.rest.post(path, json=body, headers=TRACED))
            group.create_task(stack.rest.post(path, json=body, headers={"x-request-id": "r-2"}))
            await until(lambda: stack.count("tandem_queued_rows", model="tokens") == 2)
            gate.opened.set()
        assert traced.result().headers["traceparent"] == PARENT
        told = carried(stack, "tf")
        assert stack.backends["tf"].batches == [1, 2]
        assert told.keys() == {"traceparent"}
        assert told["traceparent"] != PARENT
        (line,) = [record for record in caplog.records if record.name == "tandem.lanes"]
        fields = line.__dict__["fields"]
        assert fields["traceparent"] == told["traceparent"]
        assert f"r-1 {PARENT}" in fields["joins"]
        assert "r-2" in fields["joins"]

    against(tmp_path, scenario)


@pytest.mark.parametrize("arm", ["tf", "torch"])
def test_over_grpc_a_trace_goes_through_and_comes_back(tmp_path: Path, arm: str) -> None:
    """In the metadata, and back in the trailing metadata; gRPC itself keeps one of two."""

    async def scenario(stack: Stack) -> None:
        x = Tensor("x", "FP32", np.ones((1, 4), np.float32))
        request = InferRequest(model="floats", inputs=(x,), signature="serving_default")
        methods = {
            "/tensorflow.serving.PredictionService/Predict": tfs_proto.encode_request(request),
            "/inference.GRPCInferenceService/ModelInfer": oip_proto.encode_request(request),
        }
        async with grpc.aio.insecure_channel(stack.grpc) as channel:
            for method, data in methods.items():
                ask: Any = channel.unary_unary(method)
                call = ask(data, metadata=[*TRACED.items(), ("x-tandem-arm", arm)])
                await call
                assert TRACED.items() <= dict(await call.trailing_metadata()).items()
                assert carried(stack, arm) == TRACED
                malformed = [("traceparent", PARENT[:-1]), ("x-tandem-arm", arm)]
                await (call := ask(data, metadata=malformed))
                trailing = dict(await call.trailing_metadata())
                assert "traceparent" not in trailing
                assert carried(stack, arm) == {"x-request-id": trailing["x-request-id"]}
                await ask(data, metadata=[("x-tandem-arm", arm)])
                assert carried(stack, arm) == {}

    against(tmp_path, scenario)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v2"),
        ("GET", "/v2/health/live"),
        ("GET", "/v2/models"),
        ("GET", "/v2/models/floats"),
        ("GET", "/v2/models/floats/ready"),
        ("GET", "/v2/models/nope"),
        ("POST", "/v2/repository/index"),
        ("GET", "/v1/models"),
        ("GET", "/v1/models/floats/metadata"),
        ("GET", "/"),
        ("GET", "/ping"),
        ("GET", "/docs"),
        ("GET", "/api-description"),
        ("GET", "/nowhere"),
        ("DELETE", "/v2/models"),
    ],
)
def test_every_http_answer_has_its_id_and_trace_once(
    tmp_path: Path, method: str, path: str
) -> None:
    async def scenario(stack: Stack) -> None:
        answer = await stack.rest.request(method, path, headers=TRACED)
        assert {name: answer.headers.get_list(name) for name in CARRIED} == {
            name: [TRACED[name]] for name in CARRIED
        }
        plain = await stack.rest.request(method, path)
        assert len(plain.headers.get_list("x-request-id")) == 1
        assert "traceparent" not in plain.headers

    against(tmp_path, scenario)


@pytest.mark.parametrize(
    "path",
    [
        "/inference.GRPCInferenceService/ServerLive",
        "/inference.GRPCInferenceService/ModelMetadata",  # of no model: refused
        "/tensorflow.serving.ModelService/GetModelStatus",
        "/tensorflow.serving.PredictionService/GetModelMetadata",
        "/org.pytorch.serve.grpc.inference.InferenceAPIsService/Ping",
        "/grpc.health.v1.Health/Check",
    ],
)
def test_every_grpc_call_ends_with_its_id_and_trace(tmp_path: Path, path: str) -> None:
    async def ending(call: Any) -> dict[str, Any]:
        await call.code()
        return dict(await call.trailing_metadata())

    async def scenario(stack: Stack) -> None:
        async with grpc.aio.insecure_channel(stack.grpc) as channel:
            method: Any = channel.unary_unary(path)
            told = await ending(method(b"", metadata=tuple(TRACED.items()), timeout=10))
            assert {name: told[name] for name in CARRIED} == TRACED
            plain = await ending(method(b"", timeout=10))
            assert plain["x-request-id"]
            assert "traceparent" not in plain

    against(tmp_path, scenario)
