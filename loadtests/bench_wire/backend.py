"""A backend that costs next to nothing: it answers what it was asked, over real gRPC.

    python -m loadtests.bench_wire.backend PORT

Two models of the Open Inference Protocol, `[rows, columns]` FP32 both ways: `same` answers its input,
`brief` the first column of it.
"""

from __future__ import annotations

import asyncio
import sys

import grpc
import uvloop

from gateway.codecs import oip_proto
from gateway.messages import InferRequest, InferResponse, ModelDescription
from gateway.tensors import Signature, Tensor, TensorSpec

__all__ = ["INPUT", "MODELS", "OPTIONS", "OUTPUT", "SERVICE", "answer", "serve"]

SERVICE = "inference.GRPCInferenceService"
MODELS = ("same", "brief")
INPUT, OUTPUT = "x", "y"
OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.so_reuseport", 0),
]
_SHAPE = (-1, -1)


def answer(request: InferRequest) -> InferResponse:
    """What the model answers: its input `[rows, columns]`, or `[rows, 1]` of it."""
    asked = request.inputs[0]
    array = asked.array if request.model == "same" else asked.array[:, :1].copy()
    outputs = (Tensor(OUTPUT, asked.datatype, array),)
    return InferResponse(model=request.model, version="1", outputs=outputs, id=request.id)


async def _infer(data: bytes, _: object) -> bytes:
    return oip_proto.encode_response(answer(oip_proto.decode_request(data)))


async def _metadata(data: bytes, _: object) -> bytes:
    model, _version = oip_proto.decode_model_request(data)
    signature = Signature(
        "", {INPUT: TensorSpec(INPUT, "FP32", _SHAPE)}, {OUTPUT: TensorSpec(OUTPUT, "FP32", _SHAPE)}
    )
    told = ModelDescription(model=model, version="1", platform="echo", signatures={"": signature})
    return oip_proto.encode_model_metadata(told, ("1",))


async def _ready(_data: bytes, _: object) -> bytes:
    return oip_proto.encode_model_ready(ready=True)


async def serve(port: int) -> None:
    """Serve until the process is ended."""
    server = grpc.aio.server(options=OPTIONS)
    methods = {"ModelInfer": _infer, "ModelMetadata": _metadata, "ModelReady": _ready}
    served: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        name: grpc.unary_unary_rpc_method_handler(method) for name, method in methods.items()
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, served),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(int(sys.argv[1])))
