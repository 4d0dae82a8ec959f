"""Is a model whose name has a space reached at every address that names it?"""

from __future__ import annotations

from pathlib import Path

import grpc
import numpy as np
import pytest

from gateway.codecs import oip_proto
from gateway.config import MODEL_NAME
from gateway.messages import InferRequest
from gateway.tensors import Tensor
from tests.fakes.gateways import Stack, against
from tests.servers.large import SMALL

MODELS = """
[models."my floats 1"]
arms.tf = { backend = "tf", model = "floats" }
arms.torch = { backend = "torch", model = "floats", weight = 0 }
"""
TENSOR = b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]}'


def test_a_name_with_spaces_travels_percent_encoded(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        name = "my%20floats%201"
        answer = await stack.rest.post(f"/v1/models/{name}:predict", content=SMALL)
        assert answer.json() == {"predictions": [[3.0, 5.0, 7.0, 9.0]]}
        answer = await stack.rest.post(f"/v2/models/{name}/infer", content=TENSOR)
        assert answer.json()["model_name"] == "my floats 1"
        for path in (f"/v1/models/{name}", f"/v2/models/{name}", f"/v2/models/{name}/ready"):
            assert (await stack.rest.get(path)).status_code == 200, path
        assert "my floats 1" in (await stack.rest.get("/v1/models")).json()["models"]
        assert stack.count("tandem_requests_total", model="my floats 1") >= 2

    against(tmp_path, scenario, models=MODELS)


def test_a_name_with_spaces_is_reached_over_grpc(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        numbers = Tensor("x", "FP32", np.array([[1, 2, 3, 4]], np.float32))
        message = oip_proto.encode_request(InferRequest(model="my floats 1", inputs=(numbers,)))
        async with grpc.aio.insecure_channel(stack.grpc) as channel:
            call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
                "/inference.GRPCInferenceService/ModelInfer"
            )
            answer = oip_proto.decode_response(await call(message, timeout=20))
        assert answer.outputs[0].array.tolist() == [[3, 5, 7, 9]]

    against(tmp_path, scenario, models=MODELS)


@pytest.mark.parametrize("name", ["a", "a b", "resnet-50_v1.5", "0", "a" * 128])
def test_names_that_are_taken(name: str) -> None:
    assert MODEL_NAME.fullmatch(name)


@pytest.mark.parametrize("name", ["", " a", "a ", "a/b", "a:b", ".a", "a\tb", "ä", "a" * 129])
def test_names_that_are_refused(name: str) -> None:
    assert not MODEL_NAME.fullmatch(name)
