"""How is a server of the Open Inference Protocol asked over gRPC: Triton, KServe's, our torch server?

Bytes in and out of generic unary calls: the messages are the codec's business. What the port's methods
become:

    infer      ModelInfer, its timeout the rest of the deadline
    describe   ModelMetadata
    versions   RepositoryIndex; where the server has none, the versions in ModelMetadata, and
               ModelReady of each
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TypeAlias

import grpc

from gateway.backends.channel import open_channel
from gateway.backends.errors import map_errors, map_lookup_errors
from gateway.codecs import oip_proto
from gateway.codecs.oip_model import IndexedModel, newest_first
from gateway.errors import (
    BackendInvalid,
    BackendRefused,
    CallerError,
    UnknownModel,
)
from gateway.messages import (
    Deadline,
    InferRequest,
    InferResponse,
    ModelDescription,
    VersionState,
    VersionStatus,
)

__all__ = ["OipBackend"]

_Call: TypeAlias = "grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]"

_SERVICE = "/inference.GRPCInferenceService/"
_LOOKUP_TIMEOUT_S = 10.0
_UNLOADED = "unloaded"  # the reason that Triton gives where nothing went wrong

_STATES: Mapping[str, VersionState] = {
    "READY": "AVAILABLE",
    "LOADING": "LOADING",
    "UNLOADING": "UNLOADING",
    "UNAVAILABLE": "END",
}


class OipBackend:
    """One server of the Open Inference Protocol, at one address.

    Attributes:
        name: The backend's name in the configuration, for errors.
    """

    # The only state is the channel; it reconnects by itself, within a second of the server's return.

    def __init__(self, name: str, address: str, *, max_message_bytes: int) -> None:
        self.name = name
        self._address = address
        self._channel = open_channel(address, max_message_bytes)
        self._calls: Mapping[str, _Call] = {
            method: self._channel.unary_unary(_SERVICE + method)
            for method in ("ModelInfer", "ModelMetadata", "ModelReady", "RepositoryIndex")
        }

    def __repr__(self) -> str:
        return f"OipBackend({self.name!r}, {self._address!r})"

    async def infer(self, batch: InferRequest, deadline: Deadline) -> InferResponse:
        """Send one batch and wait for its answer, at most until `deadline`.

        A cancelled caller cancels the call; the server may still finish the work.

        Raises:
            BackendUnavailable: it cannot be reached or went away.
            BackendTimeout: no answer before `deadline`.
            BackendRefused: it answered with an error.
            BackendInvalid: its answer cannot be read.
        """
        data = oip_proto.encode_request(batch)
        with map_errors(self.name, batch.model):
            answer = await self._call("ModelInfer", data, deadline)
        with self._reading("ModelInfer", batch.model):
            return oip_proto.decode_response(answer)

    async def describe(self, model: str, version: str | None) -> ModelDescription:
        """The signature of one version, the newest that the server lists when `version` is None.

        Raises:
            UnknownModel: it does not serve that model or version.
            BackendError: it could not say.
        """
        answer = await self._ask_metadata(model, version, self._lookup_deadline())
        with self._reading("ModelMetadata", model):
            described = oip_proto.decode_model_metadata(answer)
        return dataclasses.replace(described, model=model, version=version or described.version)

    async def versions(self, model: str) -> tuple[VersionStatus, ...]:
        """Every version it knows of `model`, newest first.

        Raises:
            UnknownModel: it does not serve that model.
            BackendError: it could not say.
        """
        deadline = self._lookup_deadline()
        try:
            return await self._versions_from_index(model, deadline)
        except BackendRefused as error:
            if error.code != grpc.StatusCode.UNIMPLEMENTED.name:
                raise
        return await self._versions_from_metadata(model, deadline)

    async def aclose(self) -> None:
        """Close the connection; calls still in flight fail."""
        await self._channel.close()

    async def _versions_from_index(
        self, model: str, deadline: Deadline
    ) -> tuple[VersionStatus, ...]:
        request = oip_proto.encode_repository_index_request(ready=False)
        with map_errors(self.name, model):
            answer = await self._call("RepositoryIndex", request, deadline)
        with self._reading("RepositoryIndex", model):
            index = oip_proto.decode_repository_index(answer)
        found = {entry.version: entry for entry in index if entry.name == model}
        if not found:
            raise UnknownModel(f"backend {self.name} has no model {model!r}")
        # Triton lists a model that it has not loaded with an empty version: known, but no version is.
        return tuple(_status(found[version]) for version in newest_first(found) if version)

    async def _versions_from_metadata(
        self, model: str, deadline: Deadline
    ) -> tuple[VersionStatus, ...]:
        answer = await self._ask_metadata(model, None, deadline)
        with self._reading("ModelMetadata", model):
            listed = oip_proto.decode_model_versions(answer)
        return tuple([await self._ask_ready(model, version, deadline) for version in listed])

    async def _ask_ready(self, model: str, version: str, deadline: Deadline) -> VersionStatus:
        request = oip_proto.encode_model_request(model, version)
        with map_errors(self.name, model):
            answer = await self._call("ModelReady", request, deadline)
        with self._reading("ModelReady", model):
            ready = oip_proto.decode_model_ready(answer)
        # Listed but not ready: the protocol cannot say more, and it may become so.
        return VersionStatus(version=version, state="AVAILABLE" if ready else "LOADING")

    async def _ask_metadata(self, model: str, version: str | None, deadline: Deadline) -> bytes:
        request = oip_proto.encode_model_request(model, version)
        with map_lookup_errors(self.name, model):
            return await self._call("ModelMetadata", request, deadline)

    async def _call(self, method: str, request: bytes, deadline: Deadline) -> bytes:
        timeout_s = deadline.remaining_s(asyncio.get_running_loop().time())
        return await self._calls[method](request, timeout=timeout_s)

    def _lookup_deadline(self) -> Deadline:
        return Deadline.after(asyncio.get_running_loop().time(), _LOOKUP_TIMEOUT_S)

    @contextmanager
    def _reading(self, method: str, model: str) -> Iterator[None]:
        """What a codec says of bytes that a backend sent is the backend's fault."""
        try:
            yield
        except CallerError as error:
            raise BackendInvalid(
                f"{model}: backend {self.name} answered {method} with what cannot be read: {error}"
            ) from error


def _status(entry: IndexedModel) -> VersionStatus:
    failed = entry.state == "UNAVAILABLE" and entry.reason not in ("", _UNLOADED)
    return VersionStatus(
        version=entry.version,
        state=_STATES.get(entry.state, "END"),
        error_code="UNAVAILABLE" if failed else "OK",
        error_message=entry.reason if failed else "",
    )
