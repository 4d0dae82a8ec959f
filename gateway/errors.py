"""What can go wrong, and whose fault it is.

    GatewayError
    ├── CallerError            the caller's fault: change the request, do not retry it
    │   ├── InvalidRequest         malformed body, wrong name, dtype, shape or row count
    │   ├── UnknownModel           no such model, or no such version of it
    │   ├── UnknownLabel           the model is known, the label is not
    │   ├── UnknownSignature       the version is known, the signature is not
    │   ├── BodyTooLarge           more bytes than `limits.max_body_bytes`
    │   ├── Unsupported            a part of the dialect that Tandem does not speak
    │   └── CallerLeft             the client disconnected or cancelled before the answer
    ├── GatewayBusy            ours: the request was fine, and may be sent again
    │   ├── QueueFull              a bound was reached; rejected at once
    │   │   └── WouldBeLate            the queue is too long for its deadline
    │   ├── DeadlineExceeded       the caller's deadline passed while we held the request
    │   │   └── DeadlineTooNear        it would have passed: refused at once
    │   └── NotReady               starting, draining, or the model is not loaded yet
    └── BackendError           the backend's
        ├── BackendUnavailable     it cannot be reached, or it went away mid-batch
        ├── BackendTimeout         it did not answer before the batch's deadline
        ├── BackendBusy            it is full: its queue, not ours
        ├── BackendRefused         it answered with an error of its own
        │   └── InputRefused           which says that the input is at fault
        │       └── InputTooLarge          for its size
        ├── BatchRefused           it says that the input is at fault, of several requests together
        └── BackendInvalid         it answered with the wrong names, dtypes, shapes or rows

Rules: each class holds plain values (`http_status`, `grpc_code`, `reason`, `retryable`), so that this
module needs neither an HTTP nor a gRPC library; `reason` is the metric label, from this closed set.
Messages say what was got, what was wanted and where.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "BackendBusy",
    "BackendError",
    "BackendInvalid",
    "BackendRefused",
    "BackendTimeout",
    "BackendUnavailable",
    "BatchRefused",
    "BodyTooLarge",
    "CallerError",
    "CallerLeft",
    "DeadlineExceeded",
    "DeadlineTooNear",
    "GatewayBusy",
    "GatewayError",
    "InputRefused",
    "InputTooLarge",
    "InvalidRequest",
    "NotReady",
    "QueueFull",
    "UnknownLabel",
    "UnknownModel",
    "UnknownSignature",
    "Unsupported",
    "WouldBeLate",
]


class GatewayError(Exception):
    """An error with an answer for the caller.

    Attributes:
        message: What was got, what was wanted; safe to show to the caller.
        path: Where in the request, for example `inputs[1].shape`; empty when it has no place.
        hint: What there is to add; left out where a dialect's own words end with the message.
    """

    http_status: ClassVar[int] = 500
    grpc_code: ClassVar[str] = "INTERNAL"
    reason: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, path: str = "", hint: str = "") -> None:
        super().__init__(": ".join([part for part in (path, message, hint) if part]))
        self.message = message
        self.path = path
        self.hint = hint


class CallerError(GatewayError):
    """The caller's fault."""

    http_status = 400
    grpc_code = "INVALID_ARGUMENT"
    reason = "invalid_request"


class InvalidRequest(CallerError):
    """The body cannot be read, or does not fit the model's signature."""


class UnknownModel(CallerError):
    """The model, or the version asked for, is not served here."""

    http_status = 404
    grpc_code = "NOT_FOUND"
    reason = "unknown_model"


class UnknownLabel(CallerError):
    """The model is served, but has no such version label (TF Serving answers 400, not 404)."""

    reason = "unknown_label"


class UnknownSignature(CallerError):
    """The version is served, but has no such signature (gRPC: FAILED_PRECONDITION, as TF Serving)."""

    grpc_code = "FAILED_PRECONDITION"
    reason = "unknown_signature"


class BodyTooLarge(CallerError):
    """The body, before or after decompression, is over the limit."""

    http_status = 413
    grpc_code = "RESOURCE_EXHAUSTED"
    reason = "body_too_large"


class Unsupported(CallerError):
    """A known part of the dialect that Tandem does not speak."""

    http_status = 501
    grpc_code = "UNIMPLEMENTED"
    reason = "unsupported"


class CallerLeft(CallerError):
    """The client went away; nobody reads this answer, but it is counted."""

    http_status = 499
    grpc_code = "CANCELLED"
    reason = "caller_left"


class GatewayBusy(GatewayError):
    """Ours: nothing was wrong with the request, and it was not sent to a backend."""

    http_status = 503
    grpc_code = "UNAVAILABLE"
    reason = "busy"
    retryable = True

    def __init__(self, message: str, *, path: str = "", retry_after_s: float = 1.0) -> None:
        super().__init__(message, path=path)
        self.retry_after_s = retry_after_s


class QueueFull(GatewayBusy):
    """A bounded queue is full; rejected at once."""

    http_status = 429
    grpc_code = "RESOURCE_EXHAUSTED"
    reason = "queue_full"


class WouldBeLate(QueueFull):
    """With what is ahead of it, it would not be answered before its deadline; refused at once."""

    reason = "would_be_late"


class DeadlineExceeded(GatewayBusy):
    """The deadline passed while the request was queued or in flight."""

    http_status = 504
    grpc_code = "DEADLINE_EXCEEDED"
    reason = "deadline"
    retryable = False


class DeadlineTooNear(DeadlineExceeded):
    """Its own batch takes longer than it has, by what batches lately took; refused at once."""

    reason = "deadline_too_near"


class NotReady(GatewayBusy):
    """The gateway is starting or draining, or the model's backend has not described it yet."""

    reason = "not_ready"


class BackendError(GatewayError):
    """The backend's fault."""

    reason = "backend"


class BackendUnavailable(BackendError):
    """No connection, or the connection broke before the answer."""

    http_status = 503
    grpc_code = "UNAVAILABLE"
    reason = "backend_unavailable"
    retryable = True


class BackendTimeout(BackendError):
    """The backend did not answer before the batch's deadline."""

    http_status = 504
    grpc_code = "DEADLINE_EXCEEDED"
    reason = "backend_timeout"


class BackendBusy(BackendError):
    """The backend's own queue is full; nothing was computed."""

    http_status = 503
    grpc_code = "UNAVAILABLE"
    reason = "backend_busy"
    retryable = True


INPUT_AT_FAULT = frozenset({"INVALID_ARGUMENT", "OUT_OF_RANGE", "FAILED_PRECONDITION"})
"""A backend's codes for input that it cannot take; TF Serving's for shapes that do not fit is the last."""

# Others that backends give for data: a computation that fails, bytes that cannot be decoded. "" is a batch that was
# too large, RESOURCE_EXHAUSTED an answer: a server that is full is `BackendBusy`. The rest, such as NOT_FOUND or
# UNIMPLEMENTED, speak of the model or the server: asking for fewer would not help.
_MAY_BE_ONES_OWN = INPUT_AT_FAULT | {
    *("", "ABORTED", "DATA_LOSS", "INTERNAL", "RESOURCE_EXHAUSTED", "UNKNOWN")
}


class BackendRefused(BackendError):
    """The backend answered with an error; its text is passed on.

    Attributes:
        code: The backend's own gRPC status name, for example `INVALID_ARGUMENT`; "" when it gave none.
        details: The backend's own text, without our account of who said it; "" when it gave none.
    """

    reason = "backend_refused"

    def __init__(self, message: str, *, path: str = "", code: str = "", details: str = "") -> None:
        super().__init__(message, path=path)
        self.code = code
        self.details = details

    @property
    def may_be_ones_own(self) -> bool:
        """Whether one request of a batch may be to blame, so that others might be answered without it."""
        return self.code in _MAY_BE_ONES_OWN


class InputRefused(BackendRefused):
    """The backend says that the input is wrong: the caller's fault, found out late.

    For what a signature cannot tell: a token out of range, a sequence too long for the model.
    """

    http_status = 400
    grpc_code = "INVALID_ARGUMENT"
    reason = "input_refused"


class InputTooLarge(InputRefused):
    """The backend takes no message of that size: its limit is below ours."""

    http_status = 413
    grpc_code = "RESOURCE_EXHAUSTED"
    reason = "input_too_large"


class BatchRefused(BackendError):
    """The backend refused the input of a batch, and not for which of its requests: they may be sent again."""

    http_status = 503
    grpc_code = "UNAVAILABLE"
    reason = "batch_refused"
    retryable = True


class BackendInvalid(BackendError):
    """The backend answered with names, dtypes, shapes or rows that do not fit what was asked."""

    reason = "backend_invalid"
