"""A backend that costs next to nothing: it answers what it was asked, over real gRPC or HTTP.

    python -m loadtests.bench_wire.backend {grpc,rest} {HOST:PORT,unix:/PATH}

Two models of the Open Inference Protocol, `[rows, columns]` FP32 both ways: `same` answers its input,
`brief` the first column of it.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import grpc
import uvicorn
import uvloop

from gateway.codecs import oip_json, oip_proto
from gateway.memory import keep_freed
from gateway.messages import InferRequest, InferResponse, ModelDescription
from gateway.tensors import Signature, Tensor, TensorSpec

__all__ = [
    "INPUT",
    "MODELS",
    "OPTIONS",
    "OUTPUT",
    "SERVICE",
    "answer",
    "read_all",
    "serve_grpc",
    "serve_http",
]

SERVICE = "inference.GRPCInferenceService"
MODELS = ("same", "brief")
INPUT, OUTPUT = "x", "y"
OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.so_reuseport", 0),
]
_SHAPE = (-1, -1)
_HEADER_LENGTH = b"inference-header-content-length"


def answer(request: InferRequest) -> InferResponse:
    """What the model answers: its input `[rows, columns]`, or `[rows, 1]` of it."""
    asked = request.inputs[0]
    array = asked.array if request.model == "same" else asked.array[:, :1].copy()
    outputs = (Tensor(OUTPUT, asked.datatype, array),)
    return InferResponse(model=request.model, version="1", outputs=outputs, id=request.id)


async def _infer(data: bytes, _: object) -> bytes:
    return oip_proto.encode_response(answer(oip_proto.decode_request(data)))


def _described(model: str) -> ModelDescription:
    signature = Signature(
        "", {INPUT: TensorSpec(INPUT, "FP32", _SHAPE)}, {OUTPUT: TensorSpec(OUTPUT, "FP32", _SHAPE)}
    )
    return ModelDescription(model=model, version="1", platform="echo", signatures={"": signature})


async def _metadata(data: bytes, _: object) -> bytes:
    model, _version = oip_proto.decode_model_request(data)
    return oip_proto.encode_model_metadata(_described(model), ("1",))


async def _ready(_data: bytes, _: object) -> bytes:
    return oip_proto.encode_model_ready(ready=True)


async def serve_grpc(address: str) -> None:
    """Serve until the process is ended."""
    server = grpc.aio.server(options=OPTIONS)
    methods = {"ModelInfer": _infer, "ModelMetadata": _metadata, "ModelReady": _ready}
    served: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        name: grpc.unary_unary_rpc_method_handler(method) for name, method in methods.items()
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, served),))
    server.add_insecure_port(address)
    await server.start()
    await server.wait_for_termination()


async def read_all(scope: Any, receive: Any) -> bytes:
    """The body of a request, however many pieces it comes in (ASGI)."""
    parts = []
    message = {"more_body": scope["type"] == "http"}
    while message["more_body"]:
        message = await receive()
        parts.append(message["body"])
    return b"".join(parts)


async def _app(scope: Any, receive: Any, send: Any) -> None:
    path: str = scope["path"]
    told = dict(scope["headers"]).get(_HEADER_LENGTH)
    body, length = await read_all(scope, receive), None
    if path.endswith("/infer"):
        asked, form = oip_json.decode_request(
            body, None if told is None else int(told), model=path.split("/")[3], version=None
        )
        body, length = oip_json.encode_response(answer(asked), form)
    elif path == "/v2":
        body = oip_json.encode_server_metadata("echo", "1", ("binary_tensor_data",))
    elif path.startswith("/v2/models/"):
        body = oip_json.encode_model_metadata(_described(path.split("/")[3]))
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    if length is not None:
        headers.append((_HEADER_LENGTH, b"%d" % length))
    status = 404 if path == "/v2/repository/index" else 200
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def serve_http(app: Any, address: str) -> None:
    """Serve an ASGI application at `host:port` or `unix:/path` until the process is ended."""
    path = address.removeprefix("unix:") if address.startswith("unix:") else None
    config = uvicorn.Config(
        app,
        uds=path,
        port=0 if path else int(address.rpartition(":")[2]),
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="error",
    )
    await uvicorn.Server(config).serve()


if __name__ == "__main__":
    keep_freed()  # as the gateway does
    protocol, at = sys.argv[1:]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve_grpc(at) if protocol == "grpc" else serve_http(_app, at))
