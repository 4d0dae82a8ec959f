"""How is a server of the Open Inference Protocol asked over gRPC: Triton, MLServer, our torch server?

A prediction is ModelInfer, its timeout the rest of the deadline; which questions are asked about models is in
`oip_server`, and here, by which methods.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from gateway.backends.errors import map_lookup_errors, map_unreadable
from gateway.backends.grpc_link import GrpcLink
from gateway.backends.oip_server import OipServer
from gateway.codecs import oip_proto
from gateway.codecs.oip_config import read_max_batch_size_proto
from gateway.codecs.oip_model import IndexedModel, ServerMetadata
from gateway.codecs.oip_parameters import narrowed
from gateway.errors import BackendRefused, BackendUnavailable
from gateway.messages import Deadline, InferRequest, InferResponse, ModelDescription

__all__ = ["OipBackend"]

_SERVICE = "/inference.GRPCInferenceService/"
_INFER = f"{_SERVICE}ModelInfer"
_NO_SUCH_METHOD = ("PERMISSION_DENIED", "UNAUTHENTICATED", "UNIMPLEMENTED")
_RESTRICTED = "This protocol is restricted"  # Triton keeps it from us, and says UNAVAILABLE


class OipBackend(OipServer):
    """One server of the Open Inference Protocol, at one address.

    Attributes:
        name: The backend's name in the configuration, for errors.
    """

    _link: GrpcLink

    def __init__(self, link: GrpcLink) -> None:
        super().__init__(link)

    async def infer(self, batch: InferRequest, deadline: Deadline) -> InferResponse:
        """Send one batch and wait for its answer, at most until `deadline`.

        A cancelled caller cancels the call; the server may still finish the work.

        Raises:
            BackendUnavailable: it cannot be reached or went away.
            BackendTimeout: no answer before `deadline`.
            BackendRefused: it answered with an error.
            BackendInvalid: its answer cannot be read.
        """
        if not self._traits.wide_parameters and batch.parameters:
            batch = dataclasses.replace(batch, parameters=narrowed(batch.parameters))
        message = oip_proto.encode_request(batch)
        answer = await self._link.ask(
            _INFER, message, deadline, model=batch.model, trace=batch.trace
        )
        with map_unreadable(self.name, batch.model, "ModelInferResponse"):
            return oip_proto.decode_response(answer)

    async def _ask_server(self, model: str, deadline: Deadline) -> ServerMetadata | None:
        try:
            answer = await self._ask("ServerMetadata", b"", deadline, model=model)
        except BackendRefused as error:
            if error.code not in _NO_SUCH_METHOD:
                raise
            return None
        with map_unreadable(self.name, model, "ServerMetadataResponse"):
            return oip_proto.decode_server_metadata(answer)

    async def _ask_model(
        self, model: str, version: str | None, deadline: Deadline
    ) -> ModelDescription:
        answer = await self._ask_metadata(model, version, deadline)
        with map_unreadable(self.name, model, "ModelMetadataResponse"):
            return oip_proto.decode_model_metadata(answer)

    async def _ask_max_rows(self, model: str, version: str | None, deadline: Deadline) -> int:
        request = oip_proto.encode_model_request(model, version)
        answer = await self._ask("ModelConfig", request, deadline, model=model)
        with map_unreadable(self.name, model, "ModelConfigResponse"):
            return read_max_batch_size_proto(answer)

    async def _ask_index(self, model: str, deadline: Deadline) -> Sequence[IndexedModel] | None:
        request = oip_proto.encode_repository_index_request(ready=False)
        try:
            answer = await self._ask("RepositoryIndex", request, deadline, model=model)
        except BackendRefused as error:
            if error.code not in _NO_SUCH_METHOD:
                raise
            return None
        except BackendUnavailable as error:
            if _RESTRICTED not in str(error):
                raise
            return None
        with map_unreadable(self.name, model, "RepositoryIndexResponse"):
            return oip_proto.decode_repository_index(answer)

    async def _ask_listed(self, model: str, deadline: Deadline) -> Sequence[str]:
        answer = await self._ask_metadata(model, None, deadline)
        with map_unreadable(self.name, model, "ModelMetadataResponse"):
            return oip_proto.decode_model_versions(answer)

    async def _ask_ready(self, model: str, version: str, deadline: Deadline) -> bool:
        request = oip_proto.encode_model_request(model, version)
        answer = await self._ask("ModelReady", request, deadline, model=model)
        with map_unreadable(self.name, model, "ModelReadyResponse"):
            return oip_proto.decode_model_ready(answer)

    async def _ask_metadata(self, model: str, version: str | None, deadline: Deadline) -> bytes:
        request = oip_proto.encode_model_request(model, version)
        with map_lookup_errors():
            return await self._ask("ModelMetadata", request, deadline, model=model)

    async def _ask(self, method: str, request: bytes, deadline: Deadline, *, model: str) -> bytes:
        return await self._link.ask(_SERVICE + method, request, deadline, model=model)
