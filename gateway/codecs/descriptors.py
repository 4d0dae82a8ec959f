"""Under which names do clients know our messages, and which methods take them?

The stubs have packages of our own, so that those of other projects can live in the same process, and they
hold packed numbers as bytes. A client that asks a server what it offers must read the public names and
types, so this derives public descriptors from the stubs' own, in a pool apart from everybody else's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from google.protobuf import any_pb2, empty_pb2, wrappers_pb2
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha import reflection_pb2

from gateway._stubs import health_wire_pb2, oip_wire_pb2, tfs_wire_pb2, torchserve_wire_pb2

__all__ = ["public_pool"]


@dataclass(frozen=True, slots=True)
class _Form:
    """What a method takes and gives: names of messages, the first letter of a public one a dot."""

    takes: str
    gives: str
    streams_in: bool = False
    streams_out: bool = False


def _forms(*names: str) -> dict[str, _Form]:
    return {name: _Form(f"{name}Request", f"{name}Response") for name in names}


_OIP: Final = {
    **_forms("ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata"),
    **_forms("ModelInfer", "ModelConfig", "ModelStatistics", "RepositoryIndex"),
    "ModelStreamInfer": _Form(
        "ModelInferRequest", "ModelStreamInferResponse", streams_in=True, streams_out=True
    ),
}
_REFLECTION: Final = {
    "ServerReflectionInfo": _Form(
        "ServerReflectionRequest", "ServerReflectionResponse", streams_in=True, streams_out=True
    )
}
_SERVICES: Final[Mapping[str, Mapping[str, _Form]]] = {
    "tensorflow.serving.PredictionService": {
        "Classify": _Form("ClassificationRequest", "ClassificationResponse"),
        "Regress": _Form("RegressionRequest", "RegressionResponse"),
        **_forms("Predict", "MultiInference", "GetModelMetadata"),
    },
    "tensorflow.serving.ModelService": _forms("GetModelStatus"),
    "inference.GRPCInferenceService": _OIP,
    "org.pytorch.serve.grpc.openinference.GRPCInferenceService": _OIP,
    "org.pytorch.serve.grpc.inference.InferenceAPIsService": {
        "Ping": _Form(".google.protobuf.Empty", "TorchServeHealthResponse"),
        "Predictions": _Form("PredictionsRequest", "PredictionResponse"),
    },
    "grpc.health.v1.Health": {
        "Check": _Form("HealthCheckRequest", "HealthCheckResponse"),
        "Watch": _Form("HealthCheckRequest", "HealthCheckResponse", streams_out=True),
    },
    "grpc.reflection.v1.ServerReflection": _REFLECTION,
    "grpc.reflection.v1alpha.ServerReflection": _REFLECTION,
}

_TENSORFLOW: Final = frozenset(
    {"BytesList", "DataType", "Example", "Feature", "Features", "FloatList", "Int64List"}
    | {"SignatureDef", "TensorInfo", "TensorProto", "TensorShapeProto"}
)
"""What is TensorFlow's own among the messages of TF Serving."""

_GOOGLE: Final = (any_pb2.DESCRIPTOR, empty_pb2.DESCRIPTOR, wrappers_pb2.DESCRIPTOR)
_PACKED: Final = (
    "UnpackedValues"  # the stubs' words for what TensorProto's fields of bytes really are
)


def public_pool() -> tuple[DescriptorPool, tuple[str, ...]]:
    """Descriptors of every service on the gRPC port, and the services' names."""
    pool = DescriptorPool()
    for google in _GOOGLE:
        pool.AddSerializedFile(google.serialized_pb)
    for file in (
        *_tensorflow_files(),
        _file(oip_wire_pb2.DESCRIPTOR, "inference"),
        _file(oip_wire_pb2.DESCRIPTOR, "org.pytorch.serve.grpc.openinference"),
        _file(torchserve_wire_pb2.DESCRIPTOR, "org.pytorch.serve.grpc.inference"),
        _file(health_wire_pb2.DESCRIPTOR, "grpc.health.v1"),
        _file(reflection_pb2.DESCRIPTOR, "grpc.reflection.v1"),
        _file(reflection_pb2.DESCRIPTOR, "grpc.reflection.v1alpha"),
    ):
        pool.AddSerializedFile(file.SerializeToString())
    return pool, tuple(_SERVICES)


def _file(stubs: FileDescriptor, package: str) -> FileDescriptorProto:
    """All that the stubs have, in one public package."""
    ours = _copy(stubs)
    return _package(ours, package, dict.fromkeys(_names(ours), package))


def _tensorflow_files() -> Iterator[FileDescriptorProto]:
    """The stubs' messages in the packages where TensorFlow and TF Serving have them."""
    ours = _copy(tfs_wire_pb2.DESCRIPTOR)
    _unpack(ours)
    packages = dict.fromkeys(_names(ours), "tensorflow.serving")
    packages |= dict.fromkeys(_TENSORFLOW, "tensorflow") | {"Code": "tensorflow.error"}
    needed = ("tensorflow", "tensorflow.error")
    for package in needed:
        yield _package(ours, package, packages)
    yield _package(ours, "tensorflow.serving", packages, needed)


def _unpack(ours: FileDescriptorProto) -> None:
    """Give TensorProto's packed numbers the types that they have."""
    messages = {message.name: message for message in ours.message_type}
    real = {field.name: field for field in messages[_PACKED].field}
    for field in messages["TensorProto"].field:
        if field.name in real:
            field.CopyFrom(real[field.name])
    ours.message_type.remove(messages[_PACKED])


def _package(
    ours: FileDescriptorProto,
    package: str,
    packages: Mapping[str, str],
    needed: Sequence[str] = (),
) -> FileDescriptorProto:
    """The file of one package, out of our own file and where each of its names belongs."""
    file = FileDescriptorProto(name=_file_name(package), package=package, syntax="proto3")
    file.dependency.extend([*(google.name for google in _GOOGLE), *map(_file_name, needed)])
    file.message_type.extend(m for m in ours.message_type if packages[m.name] == package)
    file.enum_type.extend(e for e in ours.enum_type if packages[e.name] == package)
    for message in file.message_type:
        _rename(message, f".{ours.package}.", packages)
    for name, methods in _SERVICES.items():
        if name.rpartition(".")[0] == package:
            _add_service(file, name.rpartition(".")[2], methods)
    return file


def _rename(message: DescriptorProto, ours: str, packages: Mapping[str, str]) -> None:
    """Let its fields, and those of what is declared in it, refer to the public names."""
    for field in message.field:
        if field.type_name.startswith(ours):
            name = field.type_name.removeprefix(ours)
            field.type_name = f".{packages[name.partition('.')[0]]}.{name}"
    for inner in message.nested_type:
        _rename(inner, ours, packages)


def _add_service(file: FileDescriptorProto, name: str, methods: Mapping[str, _Form]) -> None:
    service = file.service.add(name=name)
    for method, form in methods.items():
        takes, gives = (
            kind if kind.startswith(".") else f".{file.package}.{kind}"
            for kind in (form.takes, form.gives)
        )
        service.method.add(
            name=method,
            input_type=takes,
            output_type=gives,
            client_streaming=form.streams_in,
            server_streaming=form.streams_out,
        )


def _copy(stubs: FileDescriptor) -> FileDescriptorProto:
    return FileDescriptorProto.FromString(stubs.serialized_pb)


def _names(file: FileDescriptorProto) -> list[str]:
    return [
        *(message.name for message in file.message_type),
        *(enum.name for enum in file.enum_type),
    ]


def _file_name(package: str) -> str:
    return f"tandem/{package.replace('.', '/')}.proto"
