"""How do TF Serving's gRPC messages become ours, and back?

Four functions for Predict, and the same pair of pairs for GetModelMetadata and GetModelStatus. They do
not know who calls: the gateway's server decodes requests and encodes responses, a backend adapter the
reverse, and a server of our own may sit at either end.

Requests are written with `tensor_content`, the cheapest form for the reader. Responses are written with
typed fields, as TF Serving writes them: some clients read nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway._stubs import tfs_wire_pb2 as wire
from gateway.codecs.protobuf import parse, serialize
from gateway.codecs.tfs_model_spec import (
    choice_of,
    is_int64,
    read_target,
    required_spec,
    write_spec,
)
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
from gateway.tensors import Datatype, Signature, Tensor

__all__ = [
    "IN_RUNS",
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

MAX_INPUTS = 1024
"""Of one request: an empty one costs a few bytes to send, and a thousand times that to read."""

IN_RUNS = frozenset[Datatype]({"BOOL", "FP32", "FP64"})
"""Datatypes that `encode_response` writes without looking at each element."""

METADATA_FIELD = "signature_def"
_SIGNATURES_URL = "type.googleapis.com/tensorflow.serving.SignatureDefMap"
_PLATFORM = "tensorflow_serving"


def decode_request(data: bytes) -> InferRequest:
    """Read a PredictRequest.

    Raises:
        InvalidRequest: the bytes are no PredictRequest, name no model, or a tensor is malformed.
        Unsupported: a tensor has a datatype that Tandem does not carry.
    """
    message = parse(wire.PredictRequest, data)
    spec = required_spec(message)
    if len(message.inputs) > MAX_INPUTS:
        raise InvalidRequest(f"got {len(message.inputs)} inputs, at most {MAX_INPUTS} are taken")
    version, label = choice_of(spec)
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
    write_spec(message.model_spec, request.model, request.version, request.label)
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
        version=choice_of(spec)[0] or "",
        signature=spec.signature_name,
        outputs=_read_tensors(message.outputs),
    )


def encode_response(response: InferResponse) -> bytes:
    """Write a PredictResponse; a version that is not an integer is left out."""
    message = wire.PredictResponse()
    spec = message.model_spec
    spec.name = response.model
    if is_int64(response.version):
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
    target = read_target(message)
    if not message.metadata_field:
        raise InvalidRequest("GetModelMetadataRequest must specify at least one metadata_field")
    for field in message.metadata_field:
        if field != METADATA_FIELD:
            raise InvalidRequest(f"Metadata field {field} is not supported")
    return target


def encode_metadata_request(target: Target) -> bytes:
    """Write a GetModelMetadataRequest for the signatures of one version."""
    message = wire.GetModelMetadataRequest(metadata_field=[METADATA_FIELD])
    write_spec(message.model_spec, target.model, target.version, target.label)
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
        version=choice_of(message.model_spec)[0] or "",
        platform=_PLATFORM,
        signatures=read_signatures(signatures),
        checks_itself=True,
        told=packed.value,
    )


def encode_metadata(description: ModelDescription) -> bytes:
    """Write a GetModelMetadataResponse; a version that is not an integer is left out."""
    message = wire.GetModelMetadataResponse()
    message.model_spec.name = description.model
    if is_int64(description.version):
        message.model_spec.version.value = int(description.version)
    packed = message.metadata[METADATA_FIELD]
    # Not Any.Pack: the type must be named as TF Serving names it, not as our stubs do.
    packed.type_url = _SIGNATURES_URL
    packed.value = description.told or _written(description.signatures)
    return serialize(message)


def _written(signatures: Mapping[str, Signature]) -> bytes:
    written: bytes = write_signatures(signatures).SerializeToString(deterministic=True)
    return written


def decode_status_request(data: bytes) -> Target:
    """Read a GetModelStatusRequest.

    Raises:
        InvalidRequest: the bytes are no such message, or name no model.
    """
    return read_target(parse(wire.GetModelStatusRequest, data))


def encode_status_request(target: Target) -> bytes:
    """Write a GetModelStatusRequest, for every version when the target names none."""
    message = wire.GetModelStatusRequest()
    write_spec(message.model_spec, target.model, target.version, target.label)
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
    """Write a GetModelStatusResponse, in the order given; versions that are no integers are left out.

    A status without a version says what it has to say without one, which on the wire is 0.
    """
    message = wire.GetModelStatusResponse()
    for status in statuses:
        if not status.version or is_int64(status.version):
            code = status.error_code if status.error_code in _CODES else "UNKNOWN"
            line = message.model_version_status.add(version=int(status.version or 0))
            line.state = getattr(wire.ModelVersionStatus, status.state)
            line.status.error_code = getattr(wire, code)
            line.status.error_message = status.error_message
    return serialize(message)


def _read_tensors(found: Mapping[str, wire.TensorProto]) -> tuple[Tensor, ...]:
    """The map's tensors by name: a map on the wire has no order of its own."""
    if not found:
        return ()
    max_filled_bytes = MAX_FILLED_BYTES // len(found)
    named = sorted(found.items())
    return tuple([decode_tensor(name, proto, max_filled_bytes) for name, proto in named])


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
