"""How is a server of the Open Inference Protocol asked over gRPC: Triton, MLServer, our torch server?

Bytes in and out of generic unary calls: the messages are the codec's business. What the port's methods
become:

    infer      ModelInfer, its timeout the rest of the deadline; several, where a batch is larger than
               the model takes at once
    describe   ModelMetadata; before it ServerMetadata, for what the server can do, and after it
               ModelConfig where there is one
    versions   RepositoryIndex; where the server has none, or keeps it from us, the versions in
               ModelMetadata, and ModelReady of each
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TypeAlias

import grpc

from gateway.backend_config import BackendTlsConfig
from gateway.backends.channel import open_channel
from gateway.backends.errors import map_errors, map_lookup_errors
from gateway.backends.oip_traits import Traits, joined, pieces, traits_of, with_max_rows
from gateway.backends.oip_versions import statuses_of
from gateway.codecs import oip_proto
from gateway.codecs.oip_config import read_max_batch_size_proto
from gateway.codecs.oip_parameters import narrowed
from gateway.codecs.trace_context import carried
from gateway.errors import (
    BackendInvalid,
    BackendRefused,
    BackendUnavailable,
    CallerError,
)
from gateway.messages import (
    Deadline,
    InferRequest,
    InferResponse,
    ModelDescription,
    VersionStatus,
)

__all__ = ["OipBackend"]

_Call: TypeAlias = "grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]"

_SERVICE = "/inference.GRPCInferenceService/"
_METHODS = (
    "ModelConfig",
    "ModelInfer",
    "ModelMetadata",
    "ModelReady",
    "RepositoryIndex",
    "ServerMetadata",
)
_LOOKUP_TIMEOUT_S = 10.0
_NO_SUCH_METHOD = ("PERMISSION_DENIED", "UNAUTHENTICATED", "UNIMPLEMENTED")
_RESTRICTED = "This protocol is restricted"  # Triton keeps it from us, and says UNAVAILABLE


class OipBackend:
    """One server of the Open Inference Protocol, at one address.

    Attributes:
        name: The backend's name in the configuration, for errors.
    """

    # The state is the channel, which reconnects by itself within a second of the server's return, and
    # what the server last said it can do, also of each model: `_max_rows`, only of those with a limit.

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
        self._traits = Traits()
        self._max_rows: dict[str, int] = {}
        self._channel = open_channel(address, max_message_bytes, tls)
        self._calls: Mapping[str, _Call] = {
            method: self._channel.unary_unary(_SERVICE + method) for method in _METHODS
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
        max_rows = self._max_rows.get(batch.model, 0)
        return joined([await self._infer(part, deadline) for part in pieces(batch, max_rows)])

    async def describe(self, model: str, version: str | None) -> ModelDescription:
        """The signature of one version, the newest that the server lists when `version` is None.

        Raises:
            UnknownModel: it does not serve that model or version.
            BackendError: it could not say.
        """
        deadline = self._lookup_deadline()
        self._traits = await self._ask_traits(model, deadline)
        answer = await self._ask_metadata(model, version, deadline)
        with self._reading("ModelMetadata", model):
            described = oip_proto.decode_model_metadata(answer)
        described = dataclasses.replace(
            described, model=model, version=version or described.version
        )
        if not self._traits.has_config:
            return described
        max_rows = await self._ask_max_rows(model, version, deadline)
        self._max_rows[model] = max_rows
        return with_max_rows(described, max_rows)

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
            if error.code not in _NO_SUCH_METHOD:
                raise
        except BackendUnavailable as error:
            if _RESTRICTED not in str(error):
                raise
        return await self._versions_from_metadata(model, deadline)

    async def aclose(self) -> None:
        """Close the connection; calls still in flight fail."""
        await self._channel.close()

    async def _infer(self, batch: InferRequest, deadline: Deadline) -> InferResponse:
        if not self._traits.wide_parameters and batch.parameters:
            batch = dataclasses.replace(batch, parameters=narrowed(batch.parameters))
        data = oip_proto.encode_request(batch)
        with map_errors(self.name, batch.model):
            answer = await self._call("ModelInfer", data, deadline, carried(batch.trace))
        with self._reading("ModelInfer", batch.model):
            return oip_proto.decode_response(answer)

    async def _ask_traits(self, model: str, deadline: Deadline) -> Traits:
        try:
            with map_errors(self.name, model):
                answer = await self._call("ServerMetadata", b"", deadline)
        except BackendRefused as error:
            if error.code not in _NO_SUCH_METHOD:
                raise
            return Traits()
        with self._reading("ServerMetadata", model):
            return traits_of(oip_proto.decode_server_metadata(answer))

    async def _ask_max_rows(self, model: str, version: str | None, deadline: Deadline) -> int:
        request = oip_proto.encode_model_request(model, version)
        with map_errors(self.name, model):
            answer = await self._call("ModelConfig", request, deadline)
        with self._reading("ModelConfig", model):
            return read_max_batch_size_proto(answer)

    async def _versions_from_index(
        self, model: str, deadline: Deadline
    ) -> tuple[VersionStatus, ...]:
        request = oip_proto.encode_repository_index_request(ready=False)
        with map_errors(self.name, model):
            answer = await self._call("RepositoryIndex", request, deadline)
        with self._reading("RepositoryIndex", model):
            index = oip_proto.decode_repository_index(answer)
        return statuses_of(index, model, self.name)

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

    async def _call(
        self,
        method: str,
        request: bytes,
        deadline: Deadline,
        metadata: list[tuple[str, str]] | None = None,
    ) -> bytes:
        timeout_s = deadline.remaining_s(asyncio.get_running_loop().time())
        return await self._calls[method](request, timeout=timeout_s, metadata=metadata)

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
