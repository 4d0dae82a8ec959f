"""What does a failed gRPC call to a backend mean in our own words?

Used only where a backend is called, as `with map_errors(...)` around the one await:

    UNAVAILABLE, a closed channel    -> BackendUnavailable (BackendBusy where Triton says its queue is full)
    DEADLINE_EXCEEDED                -> BackendTimeout
    RESOURCE_EXHAUSTED               -> BackendBusy; InputTooLarge where a request is over gRPC's limit,
                                        BackendRefused, with the code, where an answer is
    INVALID_ARGUMENT, OUT_OF_RANGE,
    FAILED_PRECONDITION              -> InputRefused, with the backend's text and code
    any other status                 -> BackendRefused, with the same

Which of these may be one request's own, so that its batch is sent again in halves, says `BackendRefused`.
`map_lookup_errors` is for questions about a model: there, NOT_FOUND is an answer (`UnknownModel`).
`map_unreadable` goes around the decoding of an answer: the codecs blame the sender, which is the backend
here (`BackendInvalid`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import grpc

from gateway.errors import (
    INPUT_AT_FAULT,
    BackendBusy,
    BackendInvalid,
    BackendRefused,
    BackendTimeout,
    BackendUnavailable,
    CallerError,
    GatewayError,
    InputRefused,
    InputTooLarge,
    UnknownModel,
)

__all__ = ["map_errors", "map_lookup_errors", "map_unreadable"]

# Triton's words for a queue that has no room, or where a request waited too long: it is there, and busy.
_FULL = ("Exceeds maximum queue size", "Request timeout expired")
# gRPC's own words; those of ours about an answer begin alike.
_TOO_LARGE, _ANSWER_TOO_LARGE = "essage larger than max", "CLIENT: Received message larger than max"


@contextmanager
def map_errors(backend: str, model: str) -> Iterator[None]:
    """Translate what `grpc.aio` raises while `backend` is asked about `model`.

    Raises:
        BackendUnavailable: it cannot be reached, went away, or our channel to it was closed.
        BackendTimeout: it did not answer in time.
        BackendRefused: it answered with an error.
        asyncio.CancelledError: our own caller was cancelled; passed on untouched.
    """
    try:
        yield
    except grpc.aio.AioRpcError as exc:
        raise _translate(exc, f"{model}: backend {backend}") from exc
    except grpc.aio.UsageError as exc:  # the channel was closed before the call
        raise BackendUnavailable(f"{model}: backend {backend}: {exc}") from exc
    except asyncio.CancelledError as exc:
        # Closing a channel cancels the calls on it, which looks like a cancelled caller but is not one.
        if _caller_is_cancelled():
            raise
        raise BackendUnavailable(f"{model}: backend {backend}: the connection was closed") from exc


@contextmanager
def map_lookup_errors() -> Iterator[None]:
    """Around a question about a model: there, "not found" is an answer.

    Raises:
        UnknownModel: the backend's NOT_FOUND, with its text.
    """
    try:
        yield
    except BackendRefused as exc:
        if exc.code == grpc.StatusCode.NOT_FOUND.name:
            raise UnknownModel(exc.message) from exc
        raise


@contextmanager
def map_unreadable(backend: str, model: str, answer: str) -> Iterator[None]:
    """Translate what a codec says of bytes that `backend` sent; `answer` is their kind, for the message.

    Raises:
        BackendInvalid: the answer cannot be read.
    """
    try:
        yield
    except CallerError as exc:
        raise BackendInvalid(
            f"{model}: backend {backend} sent a {answer} that cannot be read: {exc}"
        ) from exc


def _translate(exc: grpc.aio.AioRpcError, where: str) -> GatewayError:
    details = exc.details() or "no details"
    code = exc.code()
    if code is grpc.StatusCode.UNAVAILABLE:
        if any(text in details for text in _FULL):
            return BackendBusy(f"{where} is full: {details}")
        return BackendUnavailable(f"{where} cannot be reached: {details}")
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return BackendTimeout(f"{where} did not answer in time: {details}")
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and _ANSWER_TOO_LARGE not in details:
        return _exhausted(details, where)
    kind = InputRefused if code.name in INPUT_AT_FAULT else BackendRefused
    return kind(f"{where} refused with {code.name}: {details}", code=code.name, details=details)


def _exhausted(details: str, where: str) -> GatewayError:
    # gRPC itself uses this status for a message over its limit, which no waiting will cure. That error
    # has no code, so that a batch is sent again in parts: one of them may be small enough.
    if _TOO_LARGE in details:
        return InputTooLarge(f"{where} takes no request so large: {details}")
    return BackendBusy(f"{where} is full: {details}")


def _caller_is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
