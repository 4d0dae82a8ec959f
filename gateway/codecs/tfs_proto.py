"""How do TF Serving's gRPC messages become ours, and back?

Four functions for Predict, and the same pair of pairs for GetModelMetadata and GetModelStatus. They do
not know who calls: the gateway's server decodes requests and encodes responses, a backend adapter the
reverse, and a server of our own may sit at either end.

Requests are written with `tensor_content`, the cheapest form for the reader. Responses are written with
typed fields, as TF Serving writes them: some clients read nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from gateway._stubs import tfs_wire_pb2 as wire
from gateway.codecs.protobuf import parse, serialize
from gateway.codecs.tfs_signature import read_signatures, write_signatures
from gateway.codecs.tfs_tensor import decode_tensor, write_content, write_values
from gateway.errors import InvalidRequest
from gateway.messages import (
    DEFAULT_SIGNATURE,
    InferRequest,
    InferResponse,
    ModelDescription,
    Target,
    VersionState,
    VersionStatus,
)
from gateway.tensors import Tensor

__all__ = [
    "decode_metadata",
    "decode_metadata_request",
    "decode_request",
    "decode_response",
    "decode_status",
    "decode_status_request",
    "encode_metadata",
    "encode_metadata_request",
    "encode_request",
    "encode_response",
    "encode_status",
    "encode_status_request",
]

MAX_FILLED_BYTES = 64 * 1024 * 1024
"""How much memory one message may ask for by sending fewer values than its shapes declare."""

METADATA_FIELD = "signature_def"
_SIGNATURES_URL = "type.googleapis.com/tensorflow.serving.SignatureDefMap"
_PLATFORM = "tensorflow_serving"
_INT64_MAX = 2**63 - 1


def decode_request(data: bytes) -> InferRequest:
    """Read a PredictRequest.

    Raises:
        InvalidRequest: the bytes are no PredictRequest, name no model, or a tensor is malformed.
        Unsupported: a tensor has a datatype that Tandem does not carry.
    """
    message = parse(wire.PredictRequest, data)
    spec = _required_spec(message)
    version, label = _choice(spec)
    return InferRequest(
        model=spec.name,
        version=version,
        label=label,
        signature=spec.signature_name,
        inputs=_read_tensors(message.inputs),
        outputs=tuple(message.output_filter),
    )


def encode_request(request: InferRequest) -> bytes:
    """Write a PredictRequest; `id` and `parameters` have no place in it.

    Raises:
        InvalidRequest: the version is not an integer, the only kind TF Serving knows.
    """
    message = wire.PredictRequest()
    _write_spec(message.model_spec, request.model, request.version, request.label)
    message.model_spec.signature_name = request.signature
    inputs = message.inputs
    for tensor in request.inputs:
        write_content(tensor, inputs[tensor.name])
    message.output_filter.extend(request.outputs)
    return serialize(message)


def decode_response(data: bytes) -> InferResponse:
    """Read a PredictResponse; outputs are in the order of their names.

    Raises:
        InvalidRequest: the bytes are no PredictResponse, or a tensor is malformed.
        Unsupported: a tensor has a datatype that Tandem does not carry.
    """
    message = parse(wire.PredictResponse, data)
    spec = message.model_spec
    return InferResponse(
        model=spec.name,
        version=_choice(spec)[0] or "",
        signature=spec.signature_name,
        outputs=_read_tensors(message.outputs),
    )


def encode_response(response: InferResponse) -> bytes:
    """Write a PredictResponse; a version that is not an integer is left out."""
    message = wire.PredictResponse()
    spec = message.model_spec
    spec.name = response.model
    if _is_int64(response.version):
        spec.version.value = int(response.version)
    spec.signature_name = response.signature or DEFAULT_SIGNATURE
    outputs = message.outputs
    for tensor in response.outputs:
        write_values(tensor, outputs[tensor.name])
    return serialize(message)


def decode_metadata_request(data: bytes) -> Target:
    """Read a GetModelMetadataRequest.

    Raises:
        InvalidRequest: no model, or a metadata field other than `signature_def`.
    """
    message = parse(wire.GetModelMetadataRequest, data)
    spec = _required_spec(message)
    if not message.metadata_field:
        raise InvalidRequest("GetModelMetadataRequest must specify at least one metadata_field")
    for field in message.metadata_field:
        if field != METADATA_FIELD:
            raise InvalidRequest(f"Metadata field {field} is not supported")
    return _target(spec)


def encode_metadata_request(target: Target) -> bytes:
    """Write a GetModelMetadataRequest for the signatures of one version."""
    message = wire.GetModelMetadataRequest(metadata_field=[METADATA_FIELD])
    _write_spec(message.model_spec, target.model, target.version, target.label)
    return serialize(message)


def decode_metadata(data: bytes) -> ModelDescription:
    """Read a GetModelMetadataResponse.

    A signature that Tandem could not call (a datatype it does not carry, a sparse input) is left out.

    Raises:
        InvalidRequest: the bytes are no such message, or hold no signatures.
    """
    message = parse(wire.GetModelMetadataResponse, data)
    packed = message.metadata.get(METADATA_FIELD)
    if packed is None:
        raise InvalidRequest(f"got metadata {sorted(message.metadata)}, want {METADATA_FIELD!r}")
    signatures = parse(wire.SignatureDefMap, packed.value)
    return ModelDescription(
        model=message.model_spec.name,
        version=_choice(message.model_spec)[0] or "",
        platform=_PLATFORM,
        signatures=read_signatures(signatures),
    )


def encode_metadata(description: ModelDescription) -> bytes:
    """Write a GetModelMetadataResponse; a version that is not an integer is left out."""
    message = wire.GetModelMetadataResponse()
    message.model_spec.name = description.model
    if _is_int64(description.version):
        message.model_spec.version.value = int(description.version)
    packed = message.metadata[METADATA_FIELD]
    # Not Any.Pack: the type must be named as TF Serving names it, not as our stubs do.
    packed.type_url = _SIGNATURES_URL
    packed.value = write_signatures(description.signatures).SerializeToString(deterministic=True)
    return serialize(message)


def decode_status_request(data: bytes) -> Target:
    """Read a GetModelStatusRequest.

    Raises:
        InvalidRequest: the bytes are no such message, or name no model.
    """
    return _target(_required_spec(parse(wire.GetModelStatusRequest, data)))


def encode_status_request(target: Target) -> bytes:
    """Write a GetModelStatusRequest, for every version when the target names none."""
    message = wire.GetModelStatusRequest()
    _write_spec(message.model_spec, target.model, target.version, target.label)
    return serialize(message)


def decode_status(data: bytes) -> tuple[VersionStatus, ...]:
    """Read a GetModelStatusResponse, newest version first.

    A version in a state without a name is left out: nothing follows from it.

    Raises:
        InvalidRequest: the bytes are no such message.
    """
    message = parse(wire.GetModelStatusResponse, data)
    found = [
        (status.version, _read_status(status))
        for status in message.model_version_status
        if status.state in _STATES
    ]
    return tuple(status for _, status in sorted(found, key=lambda pair: pair[0], reverse=True))


def encode_status(statuses: tuple[VersionStatus, ...]) -> bytes:
    """Write a GetModelStatusResponse, in the order given; versions that are no integers are left out."""
    message = wire.GetModelStatusResponse()
    for status in statuses:
        if _is_int64(status.version):
            code = status.error_code if status.error_code in _CODES else "UNKNOWN"
            line = message.model_version_status.add(version=int(status.version))
            line.state = getattr(wire.ModelVersionStatus, status.state)
            line.status.error_code = getattr(wire, code)
            line.status.error_message = status.error_message
    return serialize(message)


class _HasSpec(Protocol):
    @property
    def model_spec(self) -> wire.ModelSpec: ...
    def HasField(self, name: str, /) -> bool: ...  # noqa: N802 - protobuf's own name


def _required_spec(message: _HasSpec) -> wire.ModelSpec:
    spec = message.model_spec
    if not spec.name:
        if not message.HasField("model_spec"):
            raise InvalidRequest("Missing ModelSpec")
        raise InvalidRequest("ModelSpec has no name specified.")
    return spec


def _read_tensors(found: Mapping[str, wire.TensorProto]) -> tuple[Tensor, ...]:
    """The map's tensors by name: a map on the wire has no order of its own."""
    if not found:
        return ()
    max_filled_bytes = MAX_FILLED_BYTES // len(found)
    named = sorted(found.items())
    return tuple([decode_tensor(name, proto, max_filled_bytes) for name, proto in named])


def _target(spec: wire.ModelSpec) -> Target:
    version, label = _choice(spec)
    return Target(model=spec.name, version=version, label=label, signature=spec.signature_name)


def _choice(spec: wire.ModelSpec) -> tuple[str | None, str | None]:
    """The version and the label asked for, of which at most one is there."""
    choice = spec.WhichOneof("version_choice")
    if choice is None:
        return None, None
    if choice == "version":
        return str(spec.version.value), None
    return None, spec.version_label


def _write_spec(spec: wire.ModelSpec, model: str, version: str | None, label: str | None) -> None:
    spec.name = model
    if version is not None:
        if not _is_int64(version):
            raise InvalidRequest(f"got version {version!r}, TF Serving's versions are integers")
        spec.version.value = int(version)
    elif label is not None:
        spec.version_label = label


def _is_int64(version: str) -> bool:
    return version.isascii() and version.isdigit() and int(version) <= _INT64_MAX


_CODES = frozenset(wire.Code.keys())
_STATES: Mapping[int, VersionState] = {
    wire.ModelVersionStatus.START: "START",
    wire.ModelVersionStatus.LOADING: "LOADING",
    wire.ModelVersionStatus.AVAILABLE: "AVAILABLE",
    wire.ModelVersionStatus.UNLOADING: "UNLOADING",
    wire.ModelVersionStatus.END: "END",
}


def _read_status(status: wire.ModelVersionStatus) -> VersionStatus:
    code = status.status.error_code
    known = code in wire.Code.values()
    return VersionStatus(
        version=str(status.version),
        state=_STATES[status.state],
        error_code=wire.Code.Name(code) if known else str(code),
        error_message=status.status.error_message,
    )
