"""Clients that teams already have, unchanged but for the address, against the whole stack."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import httpx
import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from tritonclient.utils import InferenceServerException

from tests.e2e.conftest import Up

pytestmark = [pytest.mark.slow, pytest.mark.e2e]

FLOWER = np.array([[5.1, 3.5, 1.4, 0.2]], np.float32)

TFS_CLIENT = """
import json, sys
import grpc, numpy as np, tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2, get_model_status_pb2, model_service_pb2_grpc, predict_pb2,
    prediction_service_pb2_grpc)
channel = grpc.insecure_channel(sys.argv[1])
stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
request = predict_pb2.PredictRequest()
request.model_spec.name = "iris"
request.model_spec.signature_name = "serving_default"
request.inputs["x"].CopyFrom(tf.make_tensor_proto([[5.1, 3.5, 1.4, 0.2]], dtype=tf.float32))
answer = stub.Predict(request, timeout=30)
metadata = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
metadata.model_spec.name = "iris"
described = stub.GetModelMetadata(metadata, timeout=30)
signatures = get_model_metadata_pb2.SignatureDefMap()
described.metadata["signature_def"].Unpack(signatures)
status = get_model_status_pb2.GetModelStatusRequest()
status.model_spec.name = "iris"
state = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(status, timeout=30)
request.model_spec.name = "none"
try:
    stub.Predict(request, timeout=30)
    error = ""
except grpc.RpcError as caught:
    error = f"{caught.code().name}: {caught.details()}"
print(json.dumps({
    "outputs": {k: tf.make_ndarray(v).tolist() for k, v in answer.outputs.items()},
    "version": answer.model_spec.version.value,
    "inputs": sorted(signatures.signature_def["serving_default"].inputs),
    "state": state.model_version_status[0].state,
    "error": error,
}))
"""


def test_the_tensorflow_serving_client(stack: Up, tf_python: Path) -> None:
    ran = subprocess.run(
        [tf_python, "-c", TFS_CLIENT, stack.grpc], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    told = json.loads(ran.stdout)
    (values,) = told["outputs"].values()
    assert np.argmax(values[0]) == 0  # the first flower of the set is a setosa
    assert told["version"] >= 1
    assert told["inputs"] == ["x"]
    assert told["state"] == 30  # AVAILABLE
    assert told["error"] == "NOT_FOUND: Servable not found for request: Latest(none)"


@pytest.mark.parametrize("binary", [True, False])
def test_tritonclient_over_http(stack: Up, *, binary: bool) -> None:
    with triton_http.InferenceServerClient(stack.rest) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("iris")
        asked = triton_http.InferInput("x", [1, 4], "FP32")
        asked.set_data_from_numpy(FLOWER, binary_data=binary)
        name = client.get_model_metadata("iris")["outputs"][0]["name"]
        wanted = triton_http.InferRequestedOutput(name, binary_data=binary)
        answer = client.infer("iris", [asked], outputs=[wanted], request_id="mine")
        assert np.argmax(answer.as_numpy(name)[0]) == 0
        assert answer.get_response()["id"] == "mine"
        with pytest.raises(InferenceServerException, match="unknown model: 'none'"):
            client.infer("none", [asked])


def test_tritonclient_over_grpc_on_a_ragged_model(stack: Up) -> None:
    with triton_grpc.InferenceServerClient(stack.grpc) as client:
        for tokens in (5, 17, 64):
            ids = np.full((3, tokens), 2023, np.int64)
            asked = [
                triton_grpc.InferInput("input_ids", list(ids.shape), "INT64"),
                triton_grpc.InferInput("attention_mask", list(ids.shape), "INT64"),
            ]
            asked[0].set_data_from_numpy(ids)
            asked[1].set_data_from_numpy(np.ones_like(ids))
            answer = client.infer("minilm", asked).as_numpy("embedding")
            assert answer.shape == (3, 384)
            assert np.allclose(np.linalg.norm(answer, axis=1), 1, atol=1e-5)


def test_both_arms_say_the_same_over_plain_http(stack: Up) -> None:
    body = {"instances": FLOWER.tolist()}
    answers = {}
    with httpx.Client(base_url=f"http://{stack.rest}") as client:
        for arm in ("tf", "torch"):
            answer = client.post(
                "/v1/models/iris:predict", json=body, headers={"x-tandem-arm": arm}
            )
            answers[arm] = answer.json()["predictions"]
    assert np.allclose(answers["tf"], answers["torch"], atol=1e-4)


def test_a_row_that_no_backend_would_take_is_refused_before_it_gets_there(stack: Up) -> None:
    with httpx.Client(base_url=f"http://{stack.rest}") as client:
        answer = client.post("/v1/models/digits:predict", json={"instances": [[1, 2, 3]]})
    assert answer.status_code == 400
    assert "model digits wants [rows, 8, 8, 1]" in answer.json()["error"]
