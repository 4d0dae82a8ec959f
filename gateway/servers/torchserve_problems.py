"""How does TorchServe say what went wrong?

Over REST as `{"code", "type", "message"}`, where the type is the name of one of its Java exceptions, and
over gRPC as a status whose text ends with it. What TorchServe finds out itself has its words; every other
error keeps our own text.
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from gateway.errors import (
    BackendBusy,
    BackendTimeout,
    BackendUnavailable,
    CallerError,
    DeadlineExceeded,
    GatewayBusy,
    GatewayError,
    InvalidRequest,
    NotReady,
    UnknownModel,
    Unsupported,
)
from gateway.messages import Target

__all__ = [
    "NoModelName",
    "NoSuchResource",
    "UnknownVersion",
    "WrongMethod",
    "torchserve_body",
    "torchserve_code",
    "torchserve_text",
]

_PACKAGE = "org.pytorch.serve"


class UnknownVersion(UnknownModel):
    """The model is served, the version asked for is not."""


class NoSuchResource(InvalidRequest):
    """A path under TorchServe's that means nothing."""

    http_status = 404


class WrongMethod(InvalidRequest):
    """A path that is there, asked by another method."""

    http_status = 405


class NoModelName(InvalidRequest):
    """A gRPC request that names no model."""


_TYPES: tuple[tuple[type[GatewayError], str], ...] = (  # the first that fits
    (UnknownVersion, "ModelVersionNotFoundException"),
    (UnknownModel, "ModelNotFoundException"),
    (NoSuchResource, "ResourceNotFoundException"),
    (WrongMethod, "MethodNotAllowedException"),
    (Unsupported, "NotImplementedException"),
    (DeadlineExceeded, "RequestTimeoutException"),
    (BackendTimeout, "RequestTimeoutException"),
    (GatewayBusy, "ServiceUnavailableException"),
    (BackendBusy, "ServiceUnavailableException"),
    (BackendUnavailable, "ServiceUnavailableException"),
    (CallerError, "BadRequestException"),
)
_INPUT_AT_FAULT = 400
_GRPC_SUFFIXES: Mapping[type[GatewayError], str] = {
    UnknownModel: f"{_PACKAGE}.archive.model.ModelNotFoundException",
    UnknownVersion: f"{_PACKAGE}.archive.model.ModelVersionNotFoundException",
    NoModelName: "BadRequestException.()",
}


def torchserve_text(error: GatewayError, target: Target | None, *, grpc: bool = False) -> str:
    """The message: TorchServe's own words for a model, a version or a worker that is missing."""
    text = _text(error, target)
    suffix = _GRPC_SUFFIXES.get(type(error)) if grpc else None
    return text if suffix is None else f"{text}\n{suffix}"


def torchserve_code(error: GatewayError) -> str:
    """The gRPC code's name. TorchServe says INTERNAL where it knows no model, and so it is here."""
    return "INTERNAL" if isinstance(error, UnknownModel | NoModelName) else error.grpc_code


def torchserve_body(error: GatewayError, text: str) -> bytes:
    """The body of an error, laid out as TorchServe lays it out."""
    message = text.encode("utf-8", "replace").decode()
    document = {"code": error.http_status, "type": _type_of(error), "message": message}
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _type_of(error: GatewayError) -> str:
    for kind, name in _TYPES:
        if isinstance(error, kind):
            return name
    at_fault = error.http_status == _INPUT_AT_FAULT  # found out by the backend
    return "BadRequestException" if at_fault else "InternalServerException"


def _text(error: GatewayError, target: Target | None) -> str:
    if target is None:
        return str(error)
    if isinstance(error, UnknownVersion):
        return f"Model version: {target.version} does not exist for model: {target.model}"
    if isinstance(error, UnknownModel):
        return f"Model not found: {target.model}"
    if isinstance(error, NotReady | BackendUnavailable):
        return f'Model "{target.model}" has no worker to serve inference request; {error}'
    return str(error)
