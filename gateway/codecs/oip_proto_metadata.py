"""What does a server of the Open Inference Protocol say of itself and its models, over gRPC?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gateway._stubs import oip_wire_pb2 as pb
from gateway.codecs.oip_model import (
    IndexedModel,
    ServerMetadata,
    datatype_named,
    describe,
    newest_first,
    told_shape,
    told_signature,
)
from gateway.codecs.protobuf import parse, serialize
from gateway.messages import ModelDescription
from gateway.tensors import TensorSpec

__all__ = [
    "decode_model_metadata",
    "decode_model_ready",
    "decode_model_request",
    "decode_model_versions",
    "decode_repository_index",
    "decode_repository_index_request",
    "decode_server_live",
    "decode_server_metadata",
    "decode_server_ready",
    "encode_model_metadata",
    "encode_model_ready",
    "encode_model_request",
    "encode_repository_index",
    "encode_repository_index_request",
    "encode_server_live",
    "encode_server_metadata",
    "encode_server_ready",
]


def encode_server_live(*, live: bool) -> bytes:
    """A ServerLiveResponse."""
    return serialize(pb.ServerLiveResponse(live=live))


def decode_server_live(data: bytes) -> bool:
    """Whether a ServerLiveResponse says yes. Raises: InvalidRequest."""
    return parse(pb.ServerLiveResponse, data).live


def encode_server_ready(*, ready: bool) -> bytes:
    """A ServerReadyResponse."""
    return serialize(pb.ServerReadyResponse(ready=ready))


def decode_server_ready(data: bytes) -> bool:
    """Whether a ServerReadyResponse says yes. Raises: InvalidRequest."""
    return parse(pb.ServerReadyResponse, data).ready


def encode_model_request(model: str, version: str | None) -> bytes:
    """A ModelReadyRequest or ModelMetadataRequest: on the wire they are the same."""
    return serialize(pb.ModelReadyRequest(name=model, version=version or ""))


def decode_model_request(data: bytes) -> tuple[str, str | None]:
    """Model and version of a ModelReadyRequest or ModelMetadataRequest. Raises: InvalidRequest."""
    message = parse(pb.ModelReadyRequest, data)
    return message.name, message.version or None


def encode_model_ready(*, ready: bool) -> bytes:
    """A ModelReadyResponse."""
    return serialize(pb.ModelReadyResponse(ready=ready))


def decode_model_ready(data: bytes) -> bool:
    """Whether a ModelReadyResponse says yes. Raises: InvalidRequest."""
    return parse(pb.ModelReadyResponse, data).ready


def encode_server_metadata(name: str, version: str, extensions: Iterable[str]) -> bytes:
    """A ServerMetadataResponse."""
    return serialize(
        pb.ServerMetadataResponse(name=name, version=version, extensions=list(extensions))
    )


def decode_server_metadata(data: bytes) -> ServerMetadata:
    """A ServerMetadataResponse. Raises: InvalidRequest."""
    message = parse(pb.ServerMetadataResponse, data)
    return ServerMetadata(
        name=message.name, version=message.version, extensions=tuple(message.extensions)
    )


def encode_model_metadata(description: ModelDescription, versions: Sequence[str] = ()) -> bytes:
    """A ModelMetadataResponse.

    Args:
        description: Its `serving_default` signature is told, or its only one.
        versions: All versions that can be asked for; the described one when empty.
    """
    message = pb.ModelMetadataResponse(
        name=description.model,
        versions=versions or [description.version],
        platform=description.platform,
    )
    signature = told_signature(description)
    _write_specs(message.inputs, signature.inputs)
    _write_specs(message.outputs, signature.outputs)
    return serialize(message)


def decode_model_metadata(data: bytes) -> ModelDescription:
    """The model in a ModelMetadataResponse, in the newest of the versions it lists ("" if none).

    Raises:
        InvalidRequest: not such a message, or a datatype that the protocol does not have.
    """
    message = parse(pb.ModelMetadataResponse, data)
    return describe(
        message.name,
        message.versions,
        message.platform,
        specs={
            "inputs": _read_specs(message.inputs, "inputs"),
            "outputs": _read_specs(message.outputs, "outputs"),
        },
    )


def decode_model_versions(data: bytes) -> tuple[str, ...]:
    """The versions that a ModelMetadataResponse lists, newest first. Raises: InvalidRequest."""
    return newest_first(parse(pb.ModelMetadataResponse, data).versions)


def encode_repository_index_request(*, ready: bool) -> bytes:
    """A RepositoryIndexRequest: for the `ready` versions only, or for all."""
    return serialize(pb.RepositoryIndexRequest(ready=ready))


def decode_repository_index_request(data: bytes) -> bool:
    """Whether a RepositoryIndexRequest asks for ready versions only. Raises: InvalidRequest."""
    return parse(pb.RepositoryIndexRequest, data).ready


def encode_repository_index(models: Iterable[IndexedModel]) -> bytes:
    """A RepositoryIndexResponse."""
    message = pb.RepositoryIndexResponse()
    for model in models:
        message.models.add(
            name=model.name, version=model.version, state=model.state, reason=model.reason
        )
    return serialize(message)


def decode_repository_index(data: bytes) -> tuple[IndexedModel, ...]:
    """The versions in a RepositoryIndexResponse, in its order. Raises: InvalidRequest."""
    return tuple(
        IndexedModel(name=model.name, version=model.version, state=model.state, reason=model.reason)
        for model in parse(pb.RepositoryIndexResponse, data).models
    )


def _write_specs(message: Any, specs: Mapping[str, TensorSpec]) -> None:
    for spec in specs.values():
        message.add(name=spec.name, datatype=spec.datatype, shape=told_shape(spec))


def _read_specs(
    tensors: Iterable[pb.ModelMetadataResponse.TensorMetadata], path: str
) -> list[TensorSpec]:
    return [
        TensorSpec(
            name=tensor.name,
            datatype=datatype_named(tensor.datatype, f"{path}[{index}]"),
            shape=tuple(tensor.shape),
        )
        for index, tensor in enumerate(tensors)
    ]
