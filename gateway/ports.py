"""What the core needs from outside."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from gateway.messages import (
    Deadline,
    ExampleMethod,
    InferRequest,
    InferResponse,
    ModelDescription,
    Trace,
    VersionStatus,
)

__all__ = ["Backend", "ExampleBackend", "Reloadable"]


class Backend(Protocol):
    """A serving system behind the gateway.

    Every method raises only errors of `gateway.errors`, may be cancelled at any `await`, and a cancelled
    caller leaves nothing behind at the backend but the work already sent.
    """

    async def infer(self, batch: InferRequest, deadline: Deadline) -> InferResponse:
        """Send one batch and wait for its answer.

        Raises:
            BackendUnavailable: it cannot be reached or went away.
            BackendTimeout: no answer before `deadline`.
            BackendRefused: it answered with an error.
            BackendInvalid: its answer cannot be read.
        """
        ...

    async def describe(self, model: str, version: str | None) -> ModelDescription:
        """The signatures of one version, the newest available when `version` is None.

        Raises:
            UnknownModel: it does not serve that model or version.
            BackendError: it could not say.
        """
        ...

    async def versions(self, model: str) -> tuple[VersionStatus, ...]:
        """Every version it knows of `model`, newest first.

        Raises:
            UnknownModel: it does not serve that model.
            BackendError: it could not say.
        """
        ...

    async def aclose(self) -> None:
        """Close the connections; calls still in flight fail."""
        ...


@runtime_checkable
class ExampleBackend(Protocol):
    """A backend that also answers questions about examples, as TensorFlow Serving does."""

    async def ask(
        self,
        method: ExampleMethod,
        data: bytes,
        deadline: Deadline,
        *,
        trace: Trace | None = None,
    ) -> bytes:
        """Send one request message of `method`, as it is, and wait for its answer's bytes.

        Raises:
            BackendUnavailable, BackendTimeout, BackendBusy, BackendRefused: as `Backend.infer`.
        """
        ...


@runtime_checkable
class Reloadable(Protocol):
    """What takes another list of models while it runs, as TensorFlow Serving does."""

    async def reload(self, data: bytes, deadline: Deadline, *, trace: Trace | None = None) -> bytes:
        """Send one ReloadConfigRequest, as it is, and wait for its answer's bytes.

        It may be taken although no answer came: who leaves, or is too late, does not take it back.

        Raises:
            BackendUnavailable, BackendTimeout, BackendBusy, BackendRefused: as `Backend.infer`.
        """
        ...
