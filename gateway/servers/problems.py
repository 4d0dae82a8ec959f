"""How does each dialect say what went wrong?

TF Serving's clients match on its texts, so an unknown model, label or signature is told in TF Serving's
words there, in TorchServe's on its own paths (`torchserve_problems`), and in Triton's on the Open Inference
Protocol (`oip_problems`); what a backend said of a request is told to TF Serving's clients as it came. Every other error
keeps our own text, which says what was got, what was wanted and where.
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from gateway.codecs.protobuf import NotAMessage
from gateway.errors import (
    BackendRefused,
    BodyTooLarge,
    GatewayBusy,
    GatewayError,
    InvalidRequest,
    UnknownModel,
    UnknownSignature,
)
from gateway.messages import DEFAULT_SIGNATURE, Dialect, Target
from gateway.misfits import DoesNotFit
from gateway.servers.oip_problems import oip_text
from gateway.servers.torchserve_problems import torchserve_body, torchserve_code, torchserve_text

__all__ = ["body_of", "code_of", "headers_of", "status_of", "text_of"]

_MAX_TEXT: Mapping[Dialect, int] = {"tfs_rest": 16 * 1024}
"""Characters of an error's text: 1,024, as TF Serving has it over gRPC; it has no bound over REST."""

_HTTP_STATUS: Mapping[str, int] = {
    "NOT_FOUND": 404,
    "PERMISSION_DENIED": 403,
    "UNAUTHENTICATED": 401,
    "ALREADY_EXISTS": 409,
    "ABORTED": 409,
    "UNIMPLEMENTED": 501,
}
"""By the code that a TF Serving gave; for the others our own classes have the same."""


def text_of(error: GatewayError, dialect: Dialect, target: Target | None) -> str:
    """The error's text in the caller's dialect, cut where it is very long."""
    if dialect in ("tfs_rest", "tfs_grpc"):
        text = _tfs_text(error, dialect, target)
    elif dialect in ("oip_rest", "oip_grpc"):
        text = oip_text(error, target)
    else:
        text = torchserve_text(error, target, grpc=dialect == "torchserve_grpc")
    limit = _MAX_TEXT.get(dialect, 1024)
    return text if len(text) <= limit else f"{text[:limit]}...TRUNCATED"


def body_of(error: GatewayError, dialect: Dialect, text: str) -> bytes:
    """The HTTP body that tells `text`, in the caller's dialect."""
    if dialect == "torchserve_rest":
        return torchserve_body(error, text)
    return orjson.dumps({"error": text.encode("utf-8", "replace").decode()})


def status_of(error: GatewayError, dialect: Dialect) -> int:
    """The HTTP status in the caller's dialect."""
    if isinstance(error, BackendRefused) and dialect == "tfs_rest":
        return _HTTP_STATUS.get(error.code, error.http_status)
    return error.http_status


def code_of(error: GatewayError, dialect: Dialect) -> str:
    """The gRPC code's name in the caller's dialect."""
    if dialect == "tfs_grpc":
        if isinstance(error, NotAMessage):
            return "INTERNAL"  # as gRPC's own parser says it there
        if isinstance(error, BackendRefused) and error.code:
            return error.code
    if dialect == "torchserve_grpc":
        return torchserve_code(error)
    return error.grpc_code


def _tfs_text(error: GatewayError, dialect: Dialect, target: Target | None) -> str:
    if isinstance(error, BackendRefused) and error.details:
        return error.details
    # A subclass has its own words already.
    if type(error) is UnknownModel and target is not None:
        return f"Servable not found for request: {_tfs_servable(target)}"
    if type(error) is UnknownSignature and target is not None:
        name = target.signature or DEFAULT_SIGNATURE
        if dialect == "tfs_grpc":
            return f'Serving signature key "{name}" not found.'
        return f'Serving signature name: "{name}" not found in signature def'
    if isinstance(error, DoesNotFit) and error.misfit.aspect == "output":
        names = ",".join(map(str, error.misfit.wanted))
        return (
            f"output tensor alias not found in signature: {error.misfit.name}"
            f" Outputs expected to be in the set {{{names}}}."
        )
    is_whole = type(error) is InvalidRequest and error.hint and not error.path
    return error.message if is_whole else str(error)


def _tfs_servable(target: Target) -> str:
    if target.version is None:
        return f"Latest({target.model})"
    return f"Specific({target.model}, {target.version})"


def headers_of(error: GatewayError) -> list[tuple[bytes, bytes]]:
    """The HTTP headers that belong to the error: when to come back, or that the connection ends."""
    if isinstance(error, GatewayBusy) and error.retryable:
        return [(b"retry-after", str(max(1, round(error.retry_after_s))).encode())]
    if isinstance(error, BodyTooLarge):
        # The rest of the body is never read, so the connection cannot carry another request.
        return [(b"connection", b"close")]
    return []
