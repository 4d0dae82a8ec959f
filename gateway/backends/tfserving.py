"""How is a TensorFlow Serving asked over gRPC?

What the port's methods become:

    infer      PredictionService.Predict, its timeout the rest of the deadline
    ask        PredictionService.Classify, Regress or MultiInference, likewise
    describe   PredictionService.GetModelMetadata
    versions   ModelService.GetModelStatus
    reload     ModelService.HandleReloadConfigRequest, its timeout the rest of the deadline
"""

from __future__ import annotations

from gateway.backends.errors import map_lookup_errors, map_unreadable
from gateway.backends.grpc_link import GrpcLink
from gateway.backends.patience import lookup_deadline
from gateway.codecs import tfs_proto
from gateway.messages import (
    Deadline,
    ExampleMethod,
    InferRequest,
    InferResponse,
    ModelDescription,
    Target,
    Trace,
    VersionStatus,
)

__all__ = ["TfServingBackend"]

_SERVICE = "/tensorflow.serving.PredictionService"
_PREDICT = f"{_SERVICE}/Predict"
_METADATA = f"{_SERVICE}/GetModelMetadata"
_STATUS = "/tensorflow.serving.ModelService/GetModelStatus"
_RELOAD = "HandleReloadConfigRequest"


class TfServingBackend:
    """One TensorFlow Serving, or the stand-in for it, at one address.

    Attributes:
        name: The backend's name in the configuration, for errors.
    """

    # The only state is the link.

    def __init__(self, link: GrpcLink) -> None:
        self.name = link.name
        self._link = link

    def __repr__(self) -> str:
        return f"TfServingBackend({self.name!r}, {self._link.address!r})"

    async def infer(self, batch: InferRequest, deadline: Deadline) -> InferResponse:
        """Send one batch and wait for its answer, at most until `deadline`.

        A cancelled caller cancels the call; the server may still finish the work.

        Raises:
            BackendUnavailable: it cannot be reached or went away.
            BackendTimeout: no answer before `deadline`.
            BackendRefused: it answered with an error.
            BackendInvalid: its answer cannot be read.
        """
        data = tfs_proto.encode_request(batch)
        answer = await self._link.ask(
            _PREDICT, data, deadline, model=batch.model, trace=batch.trace
        )
        with map_unreadable(self.name, batch.model, "PredictResponse"):
            return tfs_proto.decode_response(answer)

    async def ask(
        self,
        method: ExampleMethod,
        data: bytes,
        deadline: Deadline,
        *,
        trace: Trace | None = None,
    ) -> bytes:
        """Send one Classify, Regress or MultiInference, as it is, and wait for its answer's bytes.

        Raises:
            BackendUnavailable, BackendTimeout, BackendBusy, BackendRefused: as for `infer`.
        """
        path = f"{_SERVICE}/{method}"
        return await self._link.ask(path, data, deadline, model=method, trace=trace)

    async def reload(self, data: bytes, deadline: Deadline, *, trace: Trace | None = None) -> bytes:
        """Send another configuration, as it is; it answers when each new model can be asked.

        Raises:
            BackendUnavailable, BackendTimeout, BackendBusy, BackendRefused: as for `infer`.
        """
        path = f"/tensorflow.serving.ModelService/{_RELOAD}"
        return await self._link.ask(path, data, deadline, model=_RELOAD, trace=trace)

    async def describe(self, model: str, version: str | None) -> ModelDescription:
        """The signatures of one version, the newest available when `version` is None.

        Raises:
            UnknownModel: it does not serve that model or version.
            BackendError: it could not say.
        """
        data = tfs_proto.encode_metadata_request(Target(model=model, version=version))
        with map_lookup_errors():
            answer = await self._link.ask(_METADATA, data, lookup_deadline(), model=model)
        with map_unreadable(self.name, model, "GetModelMetadataResponse"):
            return tfs_proto.decode_metadata(answer)

    async def versions(self, model: str) -> tuple[VersionStatus, ...]:
        """Every version it knows of `model`, newest first; one that it has unloaded is in state END.

        Raises:
            UnknownModel: it does not serve that model.
            BackendError: it could not say.
        """
        data = tfs_proto.encode_status_request(Target(model=model))
        with map_lookup_errors():
            answer = await self._link.ask(_STATUS, data, lookup_deadline(), model=model)
        with map_unreadable(self.name, model, "GetModelStatusResponse"):
            return tfs_proto.decode_status(answer)

    async def aclose(self) -> None:
        """Close the connection; calls still in flight fail."""
        await self._link.aclose()
