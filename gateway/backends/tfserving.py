"""How is a TensorFlow Serving asked over gRPC?

Bytes in and out of generic unary calls: the messages are the codec's business. What the port's methods
become:

    infer      PredictionService.Predict, its timeout the rest of the deadline
    ask        PredictionService.Classify, Regress or MultiInference, likewise
    describe   PredictionService.GetModelMetadata
    versions   ModelService.GetModelStatus
"""

from __future__ import annotations

import asyncio
from typing import TypeAlias

import grpc

from gateway.backend_config import BackendTlsConfig
from gateway.backends.channel import open_channel
from gateway.backends.errors import map_errors, map_lookup_errors, map_unreadable
from gateway.codecs import tfs_proto
from gateway.codecs.trace_context import carried
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

_Call: TypeAlias = "grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]"

_SERVICE = "/tensorflow.serving.PredictionService"
_EXAMPLES: tuple[ExampleMethod, ...] = ("Classify", "Regress", "MultiInference")
_PREDICT = f"{_SERVICE}/Predict"
_METADATA = f"{_SERVICE}/GetModelMetadata"
_STATUS = "/tensorflow.serving.ModelService/GetModelStatus"
_LOOKUP_TIMEOUT_S = 10.0


class TfServingBackend:
    """One TensorFlow Serving, or the stand-in for it, at one address.

    Attributes:
        name: The backend's name in the configuration, for errors.
    """

    # The only state is the channel; it reconnects by itself, within a second of the server's return.

    def __init__(
        self,
        name: str,
        address: str,
        *,
        max_message_bytes: int,
        tls: BackendTlsConfig | None = None,
    ) -> None:
        self.name = name
        self._address = address
        self._channel = open_channel(address, max_message_bytes, tls)
        self._predict: _Call = self._channel.unary_unary(_PREDICT)
        self._examples: dict[ExampleMethod, _Call] = {
            method: self._channel.unary_unary(f"{_SERVICE}/{method}") for method in _EXAMPLES
        }
        self._get_metadata: _Call = self._channel.unary_unary(_METADATA)
        self._get_status: _Call = self._channel.unary_unary(_STATUS)

    def __repr__(self) -> str:
        return f"TfServingBackend({self.name!r}, {self._address!r})"

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
        timeout_s = deadline.remaining_s(asyncio.get_running_loop().time())
        with map_errors(self.name, batch.model):
            answer = await self._predict(data, timeout=timeout_s, metadata=carried(batch.trace))
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
        timeout_s = deadline.remaining_s(asyncio.get_running_loop().time())
        with map_errors(self.name, method):
            call = self._examples[method]
            return await call(data, timeout=timeout_s, metadata=carried(trace))

    async def describe(self, model: str, version: str | None) -> ModelDescription:
        """The signatures of one version, the newest available when `version` is None.

        Raises:
            UnknownModel: it does not serve that model or version.
            BackendError: it could not say.
        """
        data = tfs_proto.encode_metadata_request(Target(model=model, version=version))
        with map_lookup_errors(self.name, model):
            answer = await self._get_metadata(data, timeout=_LOOKUP_TIMEOUT_S)
        with map_unreadable(self.name, model, "GetModelMetadataResponse"):
            return tfs_proto.decode_metadata(answer)

    async def versions(self, model: str) -> tuple[VersionStatus, ...]:
        """Every version it knows of `model`, newest first; one that it has unloaded is in state END.

        Raises:
            UnknownModel: it does not serve that model.
            BackendError: it could not say.
        """
        data = tfs_proto.encode_status_request(Target(model=model))
        with map_lookup_errors(self.name, model):
            answer = await self._get_status(data, timeout=_LOOKUP_TIMEOUT_S)
        with map_unreadable(self.name, model, "GetModelStatusResponse"):
            return tfs_proto.decode_status(answer)

    async def aclose(self) -> None:
        """Close the connection; calls still in flight fail."""
        await self._channel.close()
