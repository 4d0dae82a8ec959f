"""How are rows put into bytes in each dialect, and how is an answer read? Pure; for clients that send bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

import numpy as np
import orjson

from gateway.codecs import oip_json, oip_proto, tfs_proto
from gateway.errors import GatewayError
from gateway.messages import InferRequest, InferResponse
from gateway.tensors import Array
from loadtests.answers import WrongAnswer

__all__ = [
    "DIALECTS",
    "HEADER_LENGTH",
    "METHODS",
    "Dialect",
    "Encoded",
    "Outputs",
    "encode",
    "read",
]

Dialect: TypeAlias = Literal[
    "tfs-rest", "tfs-rest-columns", "tfs-grpc", "oip-rest", "oip-rest-binary", "oip-grpc"
]

DIALECTS: tuple[Dialect, ...] = get_args(Dialect)

Outputs: TypeAlias = Mapping[str, np.dtype[np.generic]]

HEADER_LENGTH = "Inference-Header-Content-Length"

METHODS: Mapping[Dialect, str] = {
    "tfs-grpc": "/tensorflow.serving.PredictionService/Predict",
    "oip-grpc": "/inference.GRPCInferenceService/ModelInfer",
}

_JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """A call, ready to be sent.

    Attributes:
        path: The URL's path, or gRPC's method.
        headers: What the body needs to be understood; empty over gRPC.
    """

    path: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def encode(dialect: Dialect, request: InferRequest) -> Encoded:
    """Write a request; its version, label and outputs wanted are left to the gateway's defaults."""
    return _ENCODE[dialect](request)


def read(
    dialect: Dialect, body: bytes, header_length: str | None, outputs: Outputs
) -> Mapping[str, Array]:
    """The outputs in the body of a successful answer, `[rows, …]` each.

    Args:
        dialect: That of the request.
        body: As it arrived.
        header_length: The answer's header of this name; None over gRPC and for JSON alone.
        outputs: The model's, by name; TF Serving's JSON does not name a single one, nor any dtype.

    Raises:
        WrongAnswer: it cannot be read.
    """
    try:
        return _READ[dialect](body, header_length, outputs)
    except (GatewayError, KeyError, TypeError, ValueError) as exc:
        raise WrongAnswer(f"unreadable: {type(exc).__name__}: {exc}") from exc


def _tfs_rows(request: InferRequest) -> Encoded:
    columns = {tensor.name: tensor.array.tolist() for tensor in request.inputs}
    if len(columns) == 1:
        (instances,) = columns.values()
    else:
        rows = zip(*columns.values(), strict=True)
        instances = [dict(zip(columns, row, strict=True)) for row in rows]
    return _tfs_rest(request.model, {"instances": instances})


def _tfs_columns(request: InferRequest) -> Encoded:
    columns = {tensor.name: tensor.array.tolist() for tensor in request.inputs}
    return _tfs_rest(request.model, {"inputs": columns})


def _tfs_rest(model: str, document: Mapping[str, object]) -> Encoded:
    return Encoded(path=f"/v1/models/{model}:predict", body=orjson.dumps(document), headers=_JSON)


def _oip_rest(request: InferRequest, *, binary: bool) -> Encoded:
    body, length = oip_json.encode_request(request, binary=binary)
    headers = (
        _JSON
        if length is None
        else {"Content-Type": "application/octet-stream", HEADER_LENGTH: str(length)}
    )
    return Encoded(path=f"/v2/models/{request.model}/infer", body=body, headers=headers)


def _tfs_grpc(request: InferRequest) -> Encoded:
    return Encoded(path=METHODS["tfs-grpc"], body=tfs_proto.encode_request(request))


def _oip_grpc(request: InferRequest) -> Encoded:
    return Encoded(path=METHODS["oip-grpc"], body=oip_proto.encode_request(request))


_ENCODE: Mapping[Dialect, Callable[[InferRequest], Encoded]] = {
    "tfs-rest": _tfs_rows,
    "tfs-rest-columns": _tfs_columns,
    "tfs-grpc": _tfs_grpc,
    "oip-rest": lambda request: _oip_rest(request, binary=False),
    "oip-rest-binary": lambda request: _oip_rest(request, binary=True),
    "oip-grpc": _oip_grpc,
}


def _predictions(body: bytes, _: str | None, outputs: Outputs) -> Mapping[str, Array]:
    rows = orjson.loads(body)["predictions"]
    if len(outputs) == 1:
        return {name: _numbers(rows, dtype) for name, dtype in outputs.items()}
    return {name: _numbers([row[name] for row in rows], dtype) for name, dtype in outputs.items()}


def _columns(body: bytes, _: str | None, outputs: Outputs) -> Mapping[str, Array]:
    columns = orjson.loads(body)["outputs"]
    if len(outputs) == 1:
        return {name: _numbers(columns, dtype) for name, dtype in outputs.items()}
    return {name: _numbers(columns[name], dtype) for name, dtype in outputs.items()}


def _numbers(nested: object, dtype: np.dtype[np.generic]) -> Array:
    """JSON says no more of a number than whether it is whole; its width is the model's."""
    array = np.asarray(nested)
    if array.dtype.kind != dtype.kind:
        raise TypeError(f"got {array.dtype}, wanted {dtype}")
    return array.astype(dtype)


def _inferred(body: bytes, header_length: str | None, _: Outputs) -> Mapping[str, Array]:
    length = None if header_length is None else int(header_length)
    return _arrays(oip_json.decode_response(body, length))


def _arrays(response: InferResponse) -> Mapping[str, Array]:
    return {tensor.name: tensor.array for tensor in response.outputs}


_READ: Mapping[Dialect, Callable[[bytes, str | None, Outputs], Mapping[str, Array]]] = {
    "tfs-rest": _predictions,
    "tfs-rest-columns": _columns,
    "tfs-grpc": lambda body, _, __: _arrays(tfs_proto.decode_response(body)),
    "oip-rest": _inferred,
    "oip-rest-binary": _inferred,
    "oip-grpc": lambda body, _, __: _arrays(oip_proto.decode_response(body)),
}
