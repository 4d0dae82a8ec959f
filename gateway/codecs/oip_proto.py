"""What do the Open Inference Protocol's gRPC messages say, and how do we say it ourselves?

Inference is here. What a server tells of itself and its models is in `oip_proto_metadata`, whose names
are given again here, so that a caller needs one module for the dialect.

How tensors travel:
- Written always raw, because tritonclient's `as_numpy` reads nothing else: one blob per tensor, in the
  tensors' order, in `raw_input_contents` or `raw_output_contents`.
- Read raw or typed. Where one tensor is raw, all are, and none may have `contents`. FP16 and BF16 have
  no typed form; INT8, INT16 and INT32 share `int_contents`, UINT8, UINT16 and UINT32 `uint_contents`.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from gateway._stubs import oip_wire_pb2 as pb
from gateway.codecs.elements import array_of
from gateway.codecs.oip_model import IndexedModel, ServerMetadata, check_count, datatype_named
from gateway.codecs.oip_parameters import drop_final, refuse_reserved, refuse_unsupported
from gateway.codecs.oip_proto_metadata import (
    decode_model_metadata,
    decode_model_ready,
    decode_model_request,
    decode_model_versions,
    decode_repository_index,
    decode_repository_index_request,
    decode_server_live,
    decode_server_metadata,
    decode_server_ready,
    encode_model_metadata,
    encode_model_ready,
    encode_model_request,
    encode_repository_index,
    encode_repository_index_request,
    encode_server_live,
    encode_server_metadata,
    encode_server_ready,
)
from gateway.codecs.protobuf import Blob, head_with, parse_apart, serialize_with
from gateway.codecs.raw import decode_raw, raw_buffer, raw_buffers
from gateway.errors import InvalidRequest
from gateway.messages import InferRequest, InferResponse, Parameter
from gateway.tensors import MAX_RANK, Datatype, Tensor

__all__ = [
    "IndexedModel",
    "ServerMetadata",
    "decode_model_metadata",
    "decode_model_ready",
    "decode_model_request",
    "decode_model_versions",
    "decode_repository_index",
    "decode_repository_index_request",
    "decode_request",
    "decode_response",
    "decode_server_live",
    "decode_server_metadata",
    "decode_server_ready",
    "encode_model_metadata",
    "encode_model_ready",
    "encode_model_request",
    "encode_repository_index",
    "encode_repository_index_request",
    "encode_request",
    "encode_response",
    "encode_server_live",
    "encode_server_metadata",
    "encode_server_ready",
]

_WireTensor: TypeAlias = (
    pb.ModelInferRequest.InferInputTensor | pb.ModelInferResponse.InferOutputTensor
)

_RAW_INPUTS, _RAW_OUTPUTS = "raw_input_contents", "raw_output_contents"
_INT64 = range(-(2**63), 2**63)

_CONTENTS: Mapping[str, str] = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


def decode_request(data: bytes) -> InferRequest:
    """A client's ModelInferRequest.

    Raises:
        InvalidRequest: not such a message, or a tensor's bytes, shape and datatype disagree.
        Unsupported: it asks for shared memory or classification.
    """
    message, blobs = parse_apart(pb.ModelInferRequest, data, _RAW_INPUTS)
    model = message.model_name
    parameters = _read_parameters(message.parameters)
    if parameters:
        drop_final(parameters)
        refuse_reserved(parameters)
    return InferRequest(
        model=model,
        inputs=_read_tensors(message.inputs, blobs, "input", model),
        version=message.model_version or None,
        outputs=_read_output_names(message.outputs),
        id=message.id,
        parameters=parameters,
    )


def encode_request(request: InferRequest) -> bytes:
    """A ModelInferRequest for a backend; signature and label have no place in it."""
    message = pb.ModelInferRequest(model_name=request.model, id=request.id)
    if request.version:
        message.model_version = request.version
    for tensor in request.inputs:
        _write_tensor(message.inputs.add(), tensor.name, tensor.datatype, tensor.shape)
    for name in request.outputs:
        message.outputs.add().name = name
    _write_parameters(message.parameters, request.parameters)
    blobs = [raw_buffers(tensor) for tensor in request.inputs]
    return serialize_with(message, _RAW_INPUTS, blobs)


def decode_response(data: bytes) -> InferResponse:
    """A backend's ModelInferResponse.

    Raises:
        InvalidRequest: not such a message, or a tensor's bytes, shape and datatype disagree.
        Unsupported: an output is in shared memory.
    """
    message, blobs = parse_apart(pb.ModelInferResponse, data, _RAW_OUTPUTS)
    model = message.model_name
    return InferResponse(
        model=model,
        version=message.model_version,
        outputs=_read_tensors(message.outputs, blobs, "output", model),
        id=message.id,
        parameters=_read_parameters(message.parameters),
    )


def encode_response(response: InferResponse) -> bytes:
    """A ModelInferResponse for a client, always raw."""
    outputs = response.outputs
    if len(outputs) == 1 and not (response.id or response.parameters):
        tensor = outputs[0]
        if tensor.datatype != "BYTES":
            array = tensor.array
            kind = (tensor.name, tensor.datatype, array.shape)
            head = _response_head(response.model, response.version, kind, array.nbytes)
            return head + raw_buffer(array)
    message = pb.ModelInferResponse(
        model_name=response.model, model_version=response.version, id=response.id
    )
    for tensor in outputs:
        _write_tensor(message.outputs.add(), tensor.name, tensor.datatype, tensor.shape)
    _write_parameters(message.parameters, response.parameters)
    blobs = [raw_buffers(tensor) for tensor in outputs]
    return serialize_with(message, _RAW_OUTPUTS, blobs)


@functools.lru_cache(maxsize=1024)
def _response_head(
    model: str, version: str, kind: tuple[str, Datatype, tuple[int, ...]], size: int
) -> bytes:
    """What stands before the bytes of an answer's only tensor: it is of few kinds, and slow to write."""
    message = pb.ModelInferResponse(model_name=model, model_version=version)
    _write_tensor(message.outputs.add(), *kind)
    return head_with(message, _RAW_OUTPUTS, size)


def _read_tensors(
    tensors: Sequence[_WireTensor], blobs: Sequence[Blob], role: str, model: str
) -> tuple[Tensor, ...]:
    check_count(len(tensors), f"{role}s")
    count = len(blobs)
    if count and count != len(tensors):
        raise InvalidRequest(
            f"got {count} raw blobs, wanted one for each of {len(tensors)} {role}s",
            path=f"raw_{role}_contents",
        )
    tensors = tensors[:]  # a list is walked twice as fast as protobuf's container
    read = []
    for index, tensor in enumerate(tensors):
        path = f"{role}s[{index}]"
        name = tensor.name
        datatype = datatype_named(tensor.datatype, path)
        what = f"{role} {name!r} for model {model!r}"
        if tensor.parameters:
            refuse_unsupported(tensor.parameters, path)
        if blobs:
            _check_no_contents(tensor, path)
            array = decode_raw(blobs[index], datatype, _shape(tensor), what=what, path=path)
        else:
            values = _typed_values(tensor, datatype, what, path)
            array = array_of(values, datatype, _shape(tensor), what=what, path=path)
        read.append(Tensor(name, datatype, array))
    return tuple(read)


def _check_no_contents(tensor: _WireTensor, path: str) -> None:
    # Empty ones are allowed: MLServer puts them beside every raw output.
    if tensor.HasField("contents") and tensor.contents.ByteSize():
        raise InvalidRequest(
            "contents field must not be specified when using raw_input_contents"
            f" for {tensor.name!r}",
            path=f"{path}.contents",
        )


def _typed_values(tensor: _WireTensor, datatype: Datatype, what: str, path: str) -> list[Any]:
    if datatype not in _CONTENTS:
        raise InvalidRequest(f"{datatype} has no typed contents, send {what} raw", path=path)
    wanted = _CONTENTS[datatype]
    got = [field.name for field, _ in tensor.contents.ListFields()]
    if any(name != wanted for name in got):
        raise InvalidRequest(
            f"got {', '.join(got)}, {datatype} wants {wanted} for {what}", path=f"{path}.contents"
        )
    values: list[Any] = getattr(tensor.contents, wanted)[:]
    if not values and 0 not in tensor.shape:
        role = what.partition(" ")[0]
        raise InvalidRequest(f"unable to find data for {role} tensor {tensor.name!r}", path=path)
    return values


def _shape(tensor: _WireTensor) -> tuple[int, ...]:
    # One dimension too many is enough to be refused; a shape as long as the body is not copied.
    return tuple(tensor.shape[: MAX_RANK + 1])


def _write_tensor(
    message: _WireTensor, name: str, datatype: Datatype, shape: tuple[int, ...]
) -> None:
    message.name = name
    message.datatype = datatype
    message.shape.extend(shape)


def _read_output_names(
    outputs: Sequence[pb.ModelInferRequest.InferRequestedOutputTensor],
) -> tuple[str, ...]:
    if not outputs:
        return ()
    check_count(len(outputs), "outputs")
    for index, output in enumerate(outputs):
        refuse_unsupported(output.parameters, f"outputs[{index}]")
    return tuple(dict.fromkeys([output.name for output in outputs]))  # Triton takes one twice


def _read_parameters(parameters: Mapping[str, pb.InferParameter]) -> dict[str, Parameter]:
    if not parameters:
        return {}
    check_count(len(parameters), "parameters")
    read: dict[str, Parameter] = {}
    for name, parameter in parameters.items():
        choice = parameter.WhichOneof("parameter_choice")
        if choice is None:
            raise InvalidRequest("got a parameter without a value", path=f"parameters.{name}")
        read[name] = getattr(parameter, choice)
    return read


def _write_parameters(message: Any, parameters: Mapping[str, Parameter]) -> None:
    for name, value in parameters.items():
        match value:
            case bool():
                message[name].bool_param = value
            case int() if value in _INT64:
                message[name].int64_param = value
            case int():
                message[name].uint64_param = value
            case float():
                message[name].double_param = value
            case str():
                message[name].string_param = value
