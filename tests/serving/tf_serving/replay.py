"""What does a server answer to recorded calls, asked with TensorFlow Serving's own client stubs?

Runs in the TensorFlow environment, as a process of its own: the gateway's has no such stubs.

    python -m tests.serving.tf_serving.replay ADDRESS < calls.jsonl > answers.jsonl

Each call is `{"id", "method", "request_b64", "response_b64"}`, each answer `{"id", "code", "details", "response",
"recorded"}`: the response and the recorded one as text, written the same way, so that equal messages are
equal texts.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import grpc
from google.protobuf import text_format
from google.protobuf.message import DecodeError, Message
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

_TIMEOUT_S = 60
_PREDICT = "/tensorflow.serving.PredictionService/Predict"

_Method: TypeAlias = tuple[Callable[..., Any], type[Any], type[Any]]


def main() -> None:
    with grpc.insecure_channel(sys.argv[1]) as channel:
        methods = _methods(channel)
        for line in sys.stdin:
            call = json.loads(line)
            answer = _answer(channel, methods[call["method"]], call)
            sys.stdout.write(json.dumps({"id": call["id"], **answer}) + "\n")


def _methods(channel: grpc.Channel) -> dict[str, _Method]:
    prediction = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    model = model_service_pb2_grpc.ModelServiceStub(channel)
    return {
        "Predict": (prediction.Predict, predict_pb2.PredictRequest, predict_pb2.PredictResponse),
        "GetModelMetadata": (
            prediction.GetModelMetadata,
            get_model_metadata_pb2.GetModelMetadataRequest,
            get_model_metadata_pb2.GetModelMetadataResponse,
        ),
        "GetModelStatus": (
            model.GetModelStatus,
            get_model_status_pb2.GetModelStatusRequest,
            get_model_status_pb2.GetModelStatusResponse,
        ),
    }


def _answer(channel: grpc.Channel, method: _Method, call: Mapping[str, str]) -> dict[str, str]:
    ask, request_type, response_type = method
    data = base64.b64decode(call["request_b64"])
    recorded = response_type.FromString(base64.b64decode(call.get("response_b64") or ""))
    try:
        request = request_type.FromString(data)
    except DecodeError:  # no stub would send this
        ask, request = channel.unary_unary(_PREDICT), data
    response, code, details = response_type(), "OK", ""
    try:
        response = ask(request, timeout=_TIMEOUT_S)
    except grpc.RpcError as error:
        code, details = error.code().name, error.details() or ""
    return {
        "code": code,
        "details": details,
        "response": _text_of(response),
        "recorded": _text_of(recorded),
    }


def _text_of(message: Message) -> str:
    """The text of a message; maps inside a packed one are sorted first, they have no order of their own."""
    for packed in getattr(message, "metadata", {}).values():
        signatures = get_model_metadata_pb2.SignatureDefMap()
        packed.Unpack(signatures)
        packed.Pack(signatures, deterministic=True)
    text: str = text_format.MessageToString(message)
    return text


if __name__ == "__main__":
    main()
