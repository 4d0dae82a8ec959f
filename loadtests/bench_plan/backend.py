"""A backend that takes exactly as long as it is told, one batch at a time, and no processor time for it.

    python -m loadtests.bench_plan.backend PORT FIXED_MS ROW_MS

Model `paced` of the Open Inference Protocol, over real gRPC: `[rows, 4]` FP32 in, its first column out,
after FIXED_MS and ROW_MS for each row.
"""

from __future__ import annotations

import asyncio
import sys
import threading

import grpc
import uvloop

from gateway.codecs import oip_proto
from gateway.messages import InferResponse, ModelDescription
from gateway.tensors import Signature, Tensor, TensorSpec

__all__ = ["COLUMNS", "INPUT", "MODEL"]

MODEL, INPUT, OUTPUT, COLUMNS = "paced", "x", "y", 4
_SERVICE = "inference.GRPCInferenceService"


class _Paced:
    """One batch at a time, in the order they came."""

    def __init__(self, fixed_s: float, row_s: float) -> None:
        self._fixed_s = fixed_s
        self._row_s = row_s
        self._turn = asyncio.Lock()

    async def infer(self, data: bytes, _: object) -> bytes:
        request = oip_proto.decode_request(data)
        array = request.inputs[0].array
        async with self._turn:
            # In a thread, because timers of the loop are a millisecond coarse.
            await asyncio.to_thread(_wait, self._fixed_s + self._row_s * len(array))
        outputs = (Tensor(OUTPUT, "FP32", array[:, :1].copy()),)
        return oip_proto.encode_response(
            InferResponse(model=MODEL, version="1", outputs=outputs, id=request.id)
        )


def _wait(seconds: float) -> None:
    threading.Event().wait(seconds)


async def _metadata(_data: bytes, _: object) -> bytes:
    inputs = {INPUT: TensorSpec(INPUT, "FP32", (-1, COLUMNS))}
    outputs = {OUTPUT: TensorSpec(OUTPUT, "FP32", (-1, 1))}
    told = ModelDescription(
        model=MODEL, version="1", platform="paced", signatures={"": Signature("", inputs, outputs)}
    )
    return oip_proto.encode_model_metadata(told, ("1",))


async def _ready(_data: bytes, _: object) -> bytes:
    return oip_proto.encode_model_ready(ready=True)


async def _serve(port: int, fixed_s: float, row_s: float) -> None:
    """Serve until the process is ended."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    paced = _Paced(fixed_s, row_s)
    methods = {"ModelInfer": paced.infer, "ModelMetadata": _metadata, "ModelReady": _ready}
    served: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        name: grpc.unary_unary_rpc_method_handler(method) for name, method in methods.items()
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, served),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(int(sys.argv[1]), float(sys.argv[2]) / 1e3, float(sys.argv[3]) / 1e3))
