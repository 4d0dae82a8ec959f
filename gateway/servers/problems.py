"""How does each dialect say what went wrong?

TF Serving's clients match on its texts, so an unknown model or label is told in TF Serving's words there
and in Triton's on the Open Inference Protocol; every other error keeps our own text, which says what was
got, what was wanted and where.
"""

from __future__ import annotations

from gateway.errors import BodyTooLarge, GatewayBusy, GatewayError, UnknownModel
from gateway.messages import Dialect, Target

__all__ = ["headers_of", "text_of"]

_MAX_TEXT = 1024
"""TF Serving cuts its error texts there; so do we, since a text may echo what the caller sent."""


def text_of(error: GatewayError, dialect: Dialect, target: Target | None) -> str:
    """The error's text in the caller's dialect, cut at 1,024 characters."""
    text = str(error)
    # A subclass has its own words already.
    if type(error) is UnknownModel and target is not None:
        if dialect in ("tfs_rest", "tfs_grpc"):
            text = f"Servable not found for request: {_tfs_servable(target)}"
        else:
            text = f"{_oip_request(target)}; {error}"
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}...TRUNCATED"


def _tfs_servable(target: Target) -> str:
    if target.version is None:
        return f"Latest({target.model})"
    return f"Specific({target.model}, {target.version})"


def _oip_request(target: Target) -> str:
    version = "" if target.version is None else f" version {target.version}"
    return f"Request for unknown model: '{target.model}'{version} is not found"


def headers_of(error: GatewayError) -> list[tuple[bytes, bytes]]:
    """The HTTP headers that belong to the error: when to come back, or that the connection ends."""
    if isinstance(error, GatewayBusy) and error.retryable:
        return [(b"retry-after", str(max(1, round(error.retry_after_s))).encode())]
    if isinstance(error, BodyTooLarge):
        # The rest of the body is never read, so the connection cannot carry another request.
        return [(b"connection", b"close")]
    return []
