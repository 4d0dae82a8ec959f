"""The Open Inference Protocol over gRPC: bytes in, bytes out."""

from __future__ import annotations

from functools import partial

from gateway import __version__
from gateway.codecs import oip_proto
from gateway.errors import NotReady
from gateway.messages import Deadline
from serving.torch_server.grpc_server import GrpcServer, Method
from serving.torch_server.inference import EXTENSIONS, SERVER_NAME, Inference
from serving.torch_server.settings import Settings

__all__ = ["make_grpc_server"]

_SERVICE = "inference.GRPCInferenceService"


def make_grpc_server(inference: Inference, settings: Settings) -> GrpcServer:
    """A server that answers from `inference`; it listens nowhere yet."""
    service = _Service(inference)
    methods: dict[str, Method] = {
        "ServerLive": service.server_live,
        "ServerReady": service.server_ready,
        "ServerMetadata": service.server_metadata,
        "ModelReady": service.model_ready,
        "ModelMetadata": service.model_metadata,
        "ModelInfer": service.model_infer,
        "RepositoryIndex": service.repository_index,
    }
    return GrpcServer(
        {f"/{_SERVICE}/{name}".encode(): method for name, method in methods.items()},
        max_message_bytes=settings.max_body_bytes,
        default_timeout_s=settings.default_timeout_s,
    )


class _Service:
    def __init__(self, inference: Inference) -> None:
        self._inference = inference

    async def server_live(self, data: bytes, deadline: Deadline) -> bytes:  # noqa: ARG002
        return oip_proto.encode_server_live(live=True)

    async def server_ready(self, data: bytes, deadline: Deadline) -> bytes:  # noqa: ARG002
        return oip_proto.encode_server_ready(ready=self._inference.is_ready)

    async def server_metadata(self, data: bytes, deadline: Deadline) -> bytes:  # noqa: ARG002
        return oip_proto.encode_server_metadata(SERVER_NAME, __version__, EXTENSIONS)

    async def model_ready(self, data: bytes, deadline: Deadline) -> bytes:  # noqa: ARG002
        model, version = oip_proto.decode_model_request(data)
        try:
            ready = self._inference.is_model_ready(model, version)
        except NotReady:
            ready = False
        return oip_proto.encode_model_ready(ready=ready)

    async def model_metadata(self, data: bytes, deadline: Deadline) -> bytes:  # noqa: ARG002
        model, version = oip_proto.decode_model_request(data)
        description, versions = self._inference.describe(model, version)
        return oip_proto.encode_model_metadata(description, versions)

    async def repository_index(self, data: bytes, deadline: Deadline) -> bytes:  # noqa: ARG002
        ready_only = oip_proto.decode_repository_index_request(data)
        return oip_proto.encode_repository_index(self._inference.index(ready_only=ready_only))

    async def model_infer(self, data: bytes, deadline: Deadline) -> bytes:
        response = await self._inference.infer(partial(oip_proto.decode_request, data), deadline)
        return oip_proto.encode_response(response)
