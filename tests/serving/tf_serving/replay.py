"""What does a server answer to recorded exchanges, asked with TensorFlow Serving's own client stubs?

Runs in the TensorFlow environment, as a process of its own: the gateway's has no such stubs.

    replay.py ADDRESS < exchanges.jsonl > answers.jsonl

Each answer is `{"id", "code", "details", "response", "recorded"}`: the response and the recorded one as text,
written the same way, so that equal messages are equal texts.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import grpc
from google.protobuf import text_format
from google.protobuf.message import Message
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

_TIMEOUT_S = 60

_Method: TypeAlias = tuple[Callable[..., Any], type[Any], type[Any]]


def main() -> None:
    options = [("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(sys.argv[1], options=options) as channel:
        methods = _methods(channel)
        for line in sys.stdin:
            exchange = json.loads(line)
            if exchange["method"].startswith("/"):
                answer = _ask_raw(channel, exchange)
            else:
                answer = _ask(methods[exchange["method"]], exchange)
            sys.stdout.write(json.dumps({"id": exchange["id"], **answer}) + "\n")


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


def _ask(method: _Method, exchange: Mapping[str, Any]) -> dict[str, object]:
    call, request_type, response_type = method
    request = text_format.Parse(exchange["request"], request_type())
    recorded = text_format.Parse(exchange["response"] or "", response_type())
    code, details, response = _outcome(call, request)
    return {
        "code": code,
        "details": details,
        "response": _text_of(response or response_type()),
        "recorded": _text_of(recorded),
    }


def _ask_raw(channel: grpc.Channel, exchange: Mapping[str, Any]) -> dict[str, object]:
    """Send bytes that no stub would write; only the error they get was recorded."""
    call = channel.unary_unary(exchange["method"])
    code, details, _ = _outcome(call, bytes.fromhex(exchange["request"]))
    return {"code": code, "details": details, "response": "", "recorded": ""}


def _outcome(call: Callable[..., Any], request: object) -> tuple[str, str, Any]:
    try:
        return "OK", "", call(request, timeout=_TIMEOUT_S)
    except grpc.RpcError as error:
        return error.code().name, error.details(), None


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
