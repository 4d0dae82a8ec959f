"""Bytes that the real tritonclient writes, and bytes of ours that it reads."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from tritonclient import grpc as triton_grpc
from tritonclient import http as triton_http
from tritonclient.grpc import service_pb2
from tritonclient.grpc._utils import _get_inference_request

from gateway.codecs import oip_json, oip_proto
from gateway.messages import InferRequest, InferResponse, ModelDescription
from gateway.tensors import DTYPES, Datatype, Signature, Tensor, TensorSpec
from tests.codecs.oip_strategies import same_bits

SAMPLES: dict[Datatype, np.ndarray[Any, Any]] = {
    "BOOL": np.array([[True, False], [False, True]]),
    **{d: np.array([[0, 1], [2, 100]], DTYPES[d]) for d in DTYPES if "INT" in d},
    "FP16": np.array([[0.5, -1], [np.nan, np.inf]], np.float16),
    "BF16": np.array([[0.5, -1], [np.nan, np.inf]], ml_dtypes.bfloat16),
    "FP32": np.array([[0.1, -0.0], [np.nan, np.inf]], np.float32),
    "FP64": np.array([[0.1, -0.0], [np.nan, -np.inf]], np.float64),
    "BYTES": np.array([[b"", b"a\0"], ["é".encode(), b"\xff\xfe"]], np.object_),
}
TEXT = np.array([[b"", b"a"], ["é".encode(), b"%"]], np.object_)
KINDS = pytest.mark.parametrize("datatype", list(SAMPLES))


def sample(datatype: Datatype, name: str = "x") -> Tensor:
    return Tensor(name, datatype, SAMPLES[datatype])


def same(got: np.ndarray[Any, Any], datatype: Datatype) -> bool:
    """Whether tritonclient's array is the sample, bit by bit."""
    wanted = SAMPLES[datatype]
    if datatype == "BYTES":
        return bool(got.tolist() == wanted.tolist())
    return got.dtype == wanted.dtype and got.tobytes() == wanted.tobytes()


def http_input(tensor: Tensor, **options: Any) -> Any:
    made = triton_http.InferInput(tensor.name, list(tensor.shape), tensor.datatype)
    return made.set_data_from_numpy(tensor.array, **options)


def http_request(inputs: list[Any], **options: Any) -> tuple[InferRequest, Any]:
    client = triton_http.InferenceServerClient
    body, header_length = client.generate_request_body(inputs, **options)
    return oip_json.decode_request(body, header_length, model="m", version=None)


def http_result(response: InferResponse, *, binary: bool) -> Any:
    form = oip_json.OutputForm(binary=binary)
    body, header_length = oip_json.encode_response(response, form)
    return triton_http.InferenceServerClient.parse_response_body(body, header_length=header_length)


def response(*outputs: Tensor) -> InferResponse:
    return InferResponse(model="m", version="7", outputs=outputs, id="an id")


@KINDS
def test_its_binary_http_inputs_are_read(datatype: Datatype) -> None:
    """Its default; without outputs it asks for all of them as raw bytes."""
    request, form = http_request([http_input(sample(datatype)), http_input(sample("FP32", "z"))])
    assert same_bits(request.inputs[0], sample(datatype))
    assert same_bits(request.inputs[1], sample("FP32", "z"))
    assert form.is_binary("anything")
    assert request.parameters == {}


@pytest.mark.parametrize("datatype", [d for d in SAMPLES if d not in {"FP16", "BF16", "BYTES"}])
def test_its_json_http_inputs_are_read(datatype: Datatype) -> None:
    """Which it writes with NaN tokens, beside binary ones."""
    inputs = [http_input(sample(datatype), binary_data=False), http_input(sample("BYTES", "z"))]
    request, _ = http_request(inputs)
    assert np.array_equal(
        request.inputs[0].array, SAMPLES[datatype], equal_nan=datatype.startswith("FP")
    )
    assert same_bits(request.inputs[1], sample("BYTES", "z"))


def test_its_json_text_is_read() -> None:
    """BYTES in JSON are strings."""
    request, _ = http_request([http_input(Tensor("x", "BYTES", TEXT), binary_data=False)])
    assert same_bits(request.inputs[0], Tensor("x", "BYTES", TEXT))


def test_its_empty_http_inputs_are_read() -> None:
    """Zero rows."""
    tensor = Tensor("x", "FP32", np.zeros((0, 4), np.float32))
    request, _ = http_request([http_input(tensor)])
    assert same_bits(request.inputs[0], tensor)


def test_its_http_options_arrive() -> None:
    """Outputs in their forms, id, and the parameters of sequences, priority and timeout."""
    request, form = http_request(
        [http_input(sample("FP32"))],
        outputs=[
            triton_http.InferRequestedOutput("a", binary_data=True),
            triton_http.InferRequestedOutput("b", binary_data=False),
        ],
        request_id="an id",
        sequence_id=2**63,
        sequence_start=True,
        priority=1,
        timeout=1000,
        parameters={"own": "text"},
    )
    assert request.id == "an id"
    assert request.outputs == ("a", "b")
    assert [form.is_binary(name) for name in ("a", "b")] == [True, False]
    assert request.parameters == {
        "sequence_id": 2**63,
        "sequence_start": True,
        "sequence_end": False,
        "priority": 1,
        "timeout": 1000,
        "own": "text",
    }


@KINDS
def test_it_reads_our_binary_http_outputs(datatype: Datatype) -> None:
    """Several, in their order, an empty one among them."""
    empty = Tensor("e", "INT32", np.zeros((0, 3), np.int32))
    result = http_result(response(sample("FP32", "f"), empty, sample(datatype)), binary=True)
    assert np.array_equal(result.as_numpy("f"), SAMPLES["FP32"], equal_nan=True)
    assert result.as_numpy("e").shape == (0, 3)
    assert same(result.as_numpy("x"), datatype)
    assert result.get_response()["model_version"] == "7"
    assert result.get_response()["id"] == "an id"


def test_it_reads_an_answer_without_bytes() -> None:
    """Then no header length is sent."""
    empty = Tensor("e", "FP32", np.zeros((0, 3), np.float32))
    assert http_result(response(empty), binary=True).as_numpy("e").shape == (0, 3)


@pytest.mark.parametrize("datatype", [d for d in SAMPLES if d not in {"FP16", "BF16", "BYTES"}])
def test_it_reads_our_json_http_outputs(datatype: Datatype) -> None:
    """NaN and Infinity too."""
    result = http_result(response(sample(datatype)), binary=False).as_numpy("x")
    assert result.dtype == SAMPLES[datatype].dtype
    assert np.array_equal(result, SAMPLES[datatype], equal_nan=datatype.startswith("FP"))


def grpc_input(tensor: Tensor) -> Any:
    made = triton_grpc.InferInput(tensor.name, list(tensor.shape), tensor.datatype)
    return made.set_data_from_numpy(tensor.array)


def grpc_request(inputs: list[Any], **options: Any) -> InferRequest:
    defaults: dict[str, Any] = {
        "model_version": "",
        "request_id": "",
        "outputs": None,
        "sequence_id": 0,
        "sequence_start": False,
        "sequence_end": False,
        "priority": 0,
        "timeout": None,
        "parameters": None,
    }
    message = _get_inference_request("m", inputs, **{**defaults, **options})
    return oip_proto.decode_request(message.SerializeToString())


@KINDS
def test_its_grpc_inputs_are_read(datatype: Datatype) -> None:
    """Always raw."""
    request = grpc_request([grpc_input(sample(datatype)), grpc_input(sample("BYTES", "z"))])
    assert same_bits(request.inputs[0], sample(datatype))
    assert same_bits(request.inputs[1], sample("BYTES", "z"))
    assert request.version is None


def test_its_grpc_options_arrive() -> None:
    """Outputs, id, version, and parameters of every type."""
    request = grpc_request(
        [grpc_input(sample("FP32"))],
        model_version="3",
        request_id="an id",
        outputs=[triton_grpc.InferRequestedOutput("a"), triton_grpc.InferRequestedOutput("b")],
        sequence_id="a sequence",
        sequence_start=True,
        priority=2**63,
        timeout=1000,
        parameters={"text": "t", "truth": True, "number": 1, "fraction": 0.5},
    )
    assert (request.model, request.version, request.id) == ("m", "3", "an id")
    assert request.outputs == ("a", "b")
    assert request.parameters == {
        "sequence_id": "a sequence",
        "sequence_start": True,
        "sequence_end": False,
        "priority": 2**63,
        "timeout": 1000,
        "text": "t",
        "truth": True,
        "number": 1,
        "fraction": 0.5,
    }


@KINDS
def test_it_reads_our_grpc_outputs(datatype: Datatype) -> None:
    """By their index in the raw contents."""
    data = oip_proto.encode_response(response(sample("FP32", "f"), sample(datatype)))
    result = triton_grpc.InferResult(service_pb2.ModelInferResponse.FromString(data))
    assert np.array_equal(result.as_numpy("f"), SAMPLES["FP32"], equal_nan=True)
    assert same(result.as_numpy("x"), datatype)


def test_it_reads_our_model_metadata() -> None:
    """Names, datatypes, shapes and versions."""
    spec = TensorSpec("x", "FP32", (-1, 4))
    description = ModelDescription(
        model="m",
        version="2",
        platform="p",
        signatures={"serving_default": Signature("serving_default", {"x": spec}, {"y": spec})},
    )
    data = oip_proto.encode_model_metadata(description, ["2", "1"])
    message = service_pb2.ModelMetadataResponse.FromString(data)
    assert (message.name, list(message.versions), message.platform) == ("m", ["2", "1"], "p")
    assert [(t.name, t.datatype, list(t.shape)) for t in message.inputs] == [("x", "FP32", [-1, 4])]
    assert len(message.outputs) == 1
