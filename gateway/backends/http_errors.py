"""What does an HTTP answer that is none mean in our own words?

404                  UnknownModel to a question about a model, else BackendRefused
400, 422             InputRefused, with the backend's text
413                  InputTooLarge
429, 503             BackendBusy: it answered, but computed nothing
408, 504             BackendTimeout
502                  BackendUnavailable: a proxy in front of it could not reach it
any other            BackendRefused, with the backend's text
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.backends.http_link import HttpReply
from gateway.codecs.oip_json_metadata import decode_error
from gateway.errors import (
    BackendBusy,
    BackendRefused,
    BackendTimeout,
    BackendUnavailable,
    GatewayError,
    InputRefused,
    InputTooLarge,
    UnknownModel,
)

__all__ = ["answered", "found"]

_OK, _NOT_FOUND = 200, 404
_PLAIN: Mapping[int, type[GatewayError]] = {
    408: BackendTimeout,
    413: InputTooLarge,
    429: BackendBusy,
    502: BackendUnavailable,
    503: BackendBusy,
    504: BackendTimeout,
}
_INPUT_AT_FAULT = (400, 422)
_CODES: Mapping[int, str] = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    422: "INVALID_ARGUMENT",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
}


def answered(reply: HttpReply, backend: str, model: str) -> HttpReply:
    """The reply, if it is an answer (200).

    Raises:
        BackendError: as the table above says.
    """
    if reply.status == _OK:
        return reply
    where = f"{model}: backend {backend}" if model else f"backend {backend}"
    text = f"{where} answered {reply.status}: {decode_error(reply.body) or 'no details'}"
    if reply.status in _PLAIN:
        raise _PLAIN[reply.status](text)
    kind = InputRefused if reply.status in _INPUT_AT_FAULT else BackendRefused
    raise kind(text, code=_CODES.get(reply.status, "UNKNOWN"))


def found(reply: HttpReply, backend: str, model: str) -> HttpReply:
    """As `answered`, to a question about a model: there, "not found" is an answer.

    Raises:
        UnknownModel: the server does not have that model or version.
        BackendError: it could not say.
    """
    if reply.status == _NOT_FOUND:
        raise UnknownModel(decode_error(reply.body) or f"backend {backend} has no model {model!r}")
    return answered(reply, backend, model)
