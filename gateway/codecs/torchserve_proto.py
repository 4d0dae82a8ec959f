"""How do TorchServe's gRPC messages become a prediction's fields, and answers messages?"""

from __future__ import annotations

from gateway._stubs import torchserve_wire_pb2 as wire
from gateway.codecs.protobuf import parse, serialize
from gateway.codecs.torchserve_fields import MAX_FIELDS, Field
from gateway.errors import InvalidRequest
from gateway.messages import Target

__all__ = ["decode_request", "encode_answer", "encode_health", "health_text"]


def decode_request(data: bytes) -> tuple[Target, tuple[Field, ...]]:
    """The model ("" where none is named) and version asked for, and the fields, which have no types.

    Raises:
        InvalidRequest: the bytes are no such message, or have too many fields.
    """
    request = parse(wire.PredictionsRequest, data)
    if len(request.input) > MAX_FIELDS:
        raise InvalidRequest(
            f"got {len(request.input)} fields, at most {MAX_FIELDS} fit", path="input"
        )
    target = Target(model=request.model_name, version=request.model_version or None)
    return target, tuple(Field(name, "", value) for name, value in request.input.items())


def encode_answer(prediction: bytes) -> bytes:
    """The message that carries an answer's bytes."""
    return serialize(wire.PredictionResponse(prediction=prediction))


def encode_health(*, healthy: bool) -> bytes:
    """The answer to a ping: JSON inside a message."""
    return serialize(wire.TorchServeHealthResponse(health=health_text(healthy=healthy).rstrip()))


def health_text(*, healthy: bool) -> str:
    """A ping's JSON, over REST as over gRPC, spelled as TorchServe spells it."""
    return '{\n  "status": "%s"\n}\n' % ("Healthy" if healthy else "Unhealthy")
