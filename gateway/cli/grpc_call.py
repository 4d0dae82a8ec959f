"""How does the command line make one predict call over gRPC, from JSON to JSON?"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

import grpc

from gateway.cli.predict import is_oip
from gateway.cli.terminal import CommandError
from gateway.codecs import oip_json, oip_proto, tfs_json, tfs_proto
from gateway.codecs.oip_json import OutputForm
from gateway.messages import InferRequest, InferResponse

__all__ = ["CODECS", "METHODS", "Dialect", "call", "request_of"]

Dialect: TypeAlias = Literal["tfs", "oip"]
_Codec: TypeAlias = tuple[Callable[[InferRequest], bytes], Callable[[bytes], InferResponse]]

METHODS: Mapping[Dialect, str] = {
    "tfs": "/tensorflow.serving.PredictionService/Predict",
    "oip": "/inference.GRPCInferenceService/ModelInfer",
}
CODECS: Mapping[Dialect, _Codec] = {
    "tfs": (tfs_proto.encode_request, tfs_proto.decode_response),
    "oip": (oip_proto.encode_request, oip_proto.decode_response),
}
_TIMEOUT_S = 30.0


def request_of(model: str, version: str | None, document: Any, *, metadata: bytes) -> InferRequest:
    """The tensors that a JSON document means.

    Args:
        model: As the caller asked.
        version: As the caller asked, None for the default.
        document: Rows, or a whole body of either dialect.
        metadata: What the gateway answers to `GET /v2/models/<model>`.

    Raises:
        InvalidRequest: the document does not fit the model.
    """
    if is_oip(document):
        text = json.dumps(document).encode()
        return oip_json.decode_request(text, None, model=model, version=version)[0]
    described = oip_json.decode_model_metadata(metadata)
    signature = next(iter(described.signatures.values()))
    body = document if isinstance(document, dict) else {"instances": document}
    inputs = tfs_json.decode_inputs(tfs_json.parse_predict(json.dumps(body).encode()), signature)
    return InferRequest(model=model, version=version, inputs=inputs)


def call(
    address: str, dialect: Dialect, request: InferRequest, headers: Mapping[str, str]
) -> tuple[str, Mapping[str, str]]:
    """The answer as JSON text, and the trailing metadata; blocks.

    Raises:
        CommandError: it was answered with an error, or not at all.
    """
    encode, decode = CODECS[dialect]
    # A proxy from the environment is for the world outside, not for a gateway with an address of its own.
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        method: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            METHODS[dialect], None, None
        )
        try:
            answer, finished = method.with_call(
                encode(request), timeout=_TIMEOUT_S, metadata=tuple(headers.items())
            )
        except grpc.RpcError as error:
            raise CommandError(
                f"the gateway answered {error.code().name}: {error.details()}"
            ) from error
    body, _ = oip_json.encode_response(decode(answer), OutputForm())
    trailing = finished.trailing_metadata() or ()
    return body.decode(), {key: value for key, value in trailing if isinstance(value, str)}
