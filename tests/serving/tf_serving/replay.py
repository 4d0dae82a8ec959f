"""What does a server answer to recorded calls, asked with TensorFlow Serving's own client stubs?

Runs in the TensorFlow environment, as a process of its own: the gateway's has no such stubs.

    python -m tests.serving.tf_serving.replay ADDRESS < calls.jsonl > answers.jsonl

Each call is `{"id", "method", "request_b64", "response_b64"}`, perhaps with `"timeout_s"` and `"models"`, the
folder that stands for the recorded server's `/models` in a configuration, or with `"request_text"` instead of
`"request_b64"`; each answer is `{"id", "code", "details", "response",
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
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

_TIMEOUT_S = 60
_RECORDED_MODELS = "/models"
_PREDICT = "/tensorflow.serving.PredictionService/Predict"

# The module with a method's messages, and what they are called before Request and Response.
_MESSAGES: Mapping[str, tuple[Any, str]] = {
    "Predict": (predict_pb2, "Predict"),
    "Classify": (classification_pb2, "Classification"),
    "Regress": (regression_pb2, "Regression"),
    "MultiInference": (inference_pb2, "MultiInference"),
    "GetModelMetadata": (get_model_metadata_pb2, "GetModelMetadata"),
    "GetModelStatus": (get_model_status_pb2, "GetModelStatus"),
    "HandleReloadConfigRequest": (model_management_pb2, "ReloadConfig"),
}

_Method: TypeAlias = tuple[Callable[..., Any], type[Any], type[Any]]


def main() -> None:
    with grpc.insecure_channel(sys.argv[1]) as channel:
        methods = _methods(channel)
        for line in sys.stdin:
            call = json.loads(line)
            answer = _answer(channel, _method_of(channel, methods, call["method"]), call)
            sys.stdout.write(json.dumps({"id": call["id"], **answer}) + "\n")


def _methods(channel: grpc.Channel) -> dict[str, _Method]:
    services = (
        prediction_service_pb2_grpc.PredictionServiceStub(channel),
        model_service_pb2_grpc.ModelServiceStub(channel),
    )
    stubs = {name: stub for service in services for name, stub in vars(service).items()}
    return {
        method: (
            stubs[method],
            getattr(module, f"{name}Request"),
            getattr(module, f"{name}Response"),
        )
        for method, (module, name) in _MESSAGES.items()
    }


def _method_of(channel: grpc.Channel, methods: Mapping[str, _Method], name: str) -> _Method:
    """A stub, or for the path of a method that no stub has, a call that sends no fields."""
    if not name.startswith("/"):
        return methods[name]
    empty = predict_pb2.PredictRequest
    call = channel.unary_unary(
        name, empty.SerializeToString, predict_pb2.PredictResponse.FromString
    )
    return call, empty, predict_pb2.PredictResponse


def _answer(channel: grpc.Channel, method: _Method, call: Mapping[str, Any]) -> dict[str, str]:
    ask, request_type, response_type = method
    data = _request_of(call, request_type)
    recorded = response_type.FromString(base64.b64decode(call.get("response_b64") or ""))
    try:
        request = request_type.FromString(data)
    except DecodeError:  # no stub would send this
        ask, request = channel.unary_unary(_PREDICT), data
    if call["method"] == "HandleReloadConfigRequest":
        _move(request, call["models"])
    response, code, details = response_type(), "OK", ""
    try:
        response = ask(request, timeout=call.get("timeout_s", _TIMEOUT_S))
    except grpc.RpcError as error:
        code, details = error.code().name, error.details() or ""
    return {
        "code": code,
        "details": details,
        "response": _text_of(response),
        "recorded": _text_of(recorded),
    }


def _request_of(call: Mapping[str, Any], kind: type[Any]) -> bytes:
    if "request_text" not in call:
        return base64.b64decode(call["request_b64"])
    data: bytes = text_format.Parse(call["request_text"], kind()).SerializeToString()
    return data


def _move(request: Any, models: str) -> None:
    for config in request.config.model_config_list.config:
        if config.base_path.startswith(_RECORDED_MODELS):
            config.base_path = models + config.base_path.removeprefix(_RECORDED_MODELS)


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
