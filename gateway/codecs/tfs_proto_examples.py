"""How are Classify, Regress and MultiInference passed on to a TF Serving behind the gateway?

The examples in them are not looked at: only TF Serving can parse them, with its model's graph. What
changes on the way is the model's name and version, to those that the backend knows, and back.

A MultiInference asks one model through several signatures; its tasks go to one arm.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from gateway._stubs import tfs_wire_pb2 as wire
from gateway.codecs.protobuf import Blob, parse, parse_around, serialize, serialize_with
from gateway.codecs.tfs_model_spec import read_target
from gateway.errors import InvalidRequest
from gateway.messages import ExampleMethod, Target

__all__ = [
    "ExamplesRequest",
    "decode_request",
    "decode_response",
    "encode_request",
    "encode_response",
    "make_request",
]

_Request: TypeAlias = (
    wire.ClassificationRequest | wire.RegressionRequest | wire.MultiInferenceRequest
)
_Response: TypeAlias = (
    wire.ClassificationResponse | wire.RegressionResponse | wire.MultiInferenceResponse
)

_EXAMPLES = "input"

_REQUESTS: Mapping[ExampleMethod, type[_Request]] = {
    "Classify": wire.ClassificationRequest,
    "Regress": wire.RegressionRequest,
    "MultiInference": wire.MultiInferenceRequest,
}
_RESPONSES: Mapping[ExampleMethod, type[_Response]] = {
    "Classify": wire.ClassificationResponse,
    "Regress": wire.RegressionResponse,
    "MultiInference": wire.MultiInferenceResponse,
}


@dataclass(frozen=True, slots=True)
class ExamplesRequest:
    """A request about examples, and the model that it is for.

    Attributes:
        message: Without its examples, if they are many.
        examples: Those, as they came.
    """

    method: ExampleMethod
    target: Target
    message: _Request
    examples: Sequence[Blob] = ()


def decode_request(method: ExampleMethod, data: bytes) -> ExamplesRequest:
    """Read the request of one of the three methods.

    Raises:
        InvalidRequest: the bytes are none, or name no model, or more than one.
    """
    message, examples = parse_around(_REQUESTS[method], data, _EXAMPLES)
    if not isinstance(message, wire.MultiInferenceRequest):
        return ExamplesRequest(method, read_target(message), message, examples)
    names = [task.model_spec.name for task in message.tasks]
    if not names or not names[0]:
        raise InvalidRequest("ModelSpec has no name specified.")
    if len(set(names)) > 1:
        raise InvalidRequest(
            "All ModelSpecs in a MultiInferenceRequest must access the same model name."
        )
    return ExamplesRequest(method, read_target(message.tasks[0]), message, examples)


def make_request(method: ExampleMethod, target: Target, examples: wire.Input) -> ExamplesRequest:
    """The request of Classify or Regress for these examples."""
    message = _REQUESTS[method](input=examples)
    for spec in _specs(message):
        spec.signature_name = target.signature
    return ExamplesRequest(method, target, message)


def encode_request(request: ExamplesRequest, model: str, version: str) -> bytes:
    """Write the request for a backend that knows the model as `model`, in an integer `version`."""
    for spec in _specs(request.message):
        spec.name = model
        spec.version.value = int(version)
    return serialize_with(request.message, _EXAMPLES, request.examples)


def encode_response(method: ExampleMethod, data: bytes, model: str) -> bytes:
    """The backend's answer, under the name by which the caller knows the model.

    Raises:
        InvalidRequest: the bytes are no such answer.
    """
    message = decode_response(method, data)
    for spec in _specs(message):
        spec.name = model
    return serialize(message)


def decode_response(method: ExampleMethod, data: bytes) -> _Response:
    """Read a backend's answer.

    Raises:
        InvalidRequest: the bytes are no such answer.
    """
    return parse(_RESPONSES[method], data)


def _specs(message: _Request | _Response) -> Iterable[wire.ModelSpec]:
    if isinstance(message, wire.MultiInferenceRequest):
        return [task.model_spec for task in message.tasks]
    if isinstance(message, wire.MultiInferenceResponse):
        return [result.model_spec for result in message.results]
    return [message.model_spec]
