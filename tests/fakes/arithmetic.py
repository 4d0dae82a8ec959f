"""A real gRPC server with a model that needs no framework: y = 2x + 1, in both protocols, with faults.

It speaks through the same codecs as the gateway, on a real socket, so everything between the client and
the model is real; only the model is small enough to be written here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import grpc
import numpy as np

from gateway.codecs import oip_proto, tfs_proto
from gateway.messages import InferRequest, InferResponse, ModelDescription
from gateway.tensors import Signature, Tensor, TensorSpec

Context: TypeAlias = "grpc.aio.ServicerContext[bytes, bytes]"

FLOATS = Signature(
    "serving_default",
    {"x": TensorSpec("x", "FP32", (-1, 4))},
    {"y": TensorSpec("y", "FP32", (-1, 4))},
)
TOKENS = Signature(  # any sequence length: a queue for each
    "serving_default",
    {"ids": TensorSpec("ids", "INT64", (-1, -1))},
    {"total": TensorSpec("total", "INT64", (-1,))},
)
PAIRS = Signature(  # two inputs, two outputs
    "serving_default",
    {"a": TensorSpec("a", "FP32", (-1, 2)), "b": TensorSpec("b", "INT32", (-1,))},
    {"sum": TensorSpec("sum", "FP32", (-1, 2)), "twice": TensorSpec("twice", "INT32", (-1,))},
)
MASKED = Signature(  # what is masked out counts for nothing: requests may be padded
    "serving_default",
    {"ids": TensorSpec("ids", "INT64", (-1, -1)), "mask": TensorSpec("mask", "INT64", (-1, -1))},
    {
        "mean": TensorSpec("mean", "FP32", (-1,)),
        "squares": TensorSpec("squares", "INT64", (-1, -1)),
    },
)
SIGNATURES = {"floats": FLOATS, "tokens": TOKENS, "pairs": PAIRS, "masked": MASKED}

Fault = Callable[[InferRequest], Awaitable[InferResponse | None]]


@dataclass
class Arithmetic:
    """What the server is told, and what it has seen.

    Attributes:
        version: The version it says it serves.
        offset: Added to every answer: another arm, another number.
        fault: Asked before each batch; may wait, raise `Refusal`, or answer in the model's place.
        batches: Rows of every batch that arrived.
        address: Where it listens, once it does.
    """

    version: str = "1"
    offset: float = 1.0
    fault: Fault | None = None
    batches: list[int] = field(default_factory=list)
    requests: list[InferRequest] = field(default_factory=list)
    metadata: list[dict[str, str]] = field(default_factory=list)
    address: str = ""
    models: frozenset[str] = frozenset(SIGNATURES)

    def compute(self, request: InferRequest) -> InferResponse:
        inputs: dict[str, Any] = {tensor.name: tensor.array for tensor in request.inputs}
        outputs: list[Tensor] = []
        if request.model == "floats":
            y = np.asarray(inputs["x"] * np.float32(2) + np.float32(self.offset), np.float32)
            outputs = [Tensor("y", "FP32", y)]
        elif request.model == "tokens":
            outputs = [Tensor("total", "INT64", inputs["ids"].sum(axis=1).astype(np.int64))]
        elif request.model == "masked":
            shown = inputs["ids"] * inputs["mask"]
            mean = np.asarray(shown.sum(axis=1) / inputs["mask"].sum(axis=1), np.float32)
            outputs = [Tensor("mean", "FP32", mean), Tensor("squares", "INT64", shown * shown)]
        else:
            total = np.asarray(inputs["a"] + inputs["b"][:, None], np.float32)
            twice = np.asarray(inputs["b"] * 2, np.int32)
            outputs = [Tensor("sum", "FP32", total), Tensor("twice", "INT32", twice)]
        wanted = [t for t in outputs if not request.outputs or t.name in request.outputs]
        return InferResponse(
            model=request.model,
            version=self.version,
            outputs=tuple(wanted),
            signature=request.signature,
        )

    async def answer(self, request: InferRequest, context: Context) -> InferResponse:
        if request.model not in self.models:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such model")
        self.batches.append(request.inputs[0].shape[0])
        self.requests.append(request)
        told = context.invocation_metadata() or ()
        self.metadata.append({str(key): str(value) for key, value in told})
        if self.fault is not None:
            try:
                instead = await self.fault(request)
            except Refusal as refusal:
                await context.abort(refusal.code, refusal.text)
            if instead is not None:
                return instead
        return self.compute(request)

    def describe(self, model: str) -> ModelDescription:
        return ModelDescription(
            model=model,
            version=self.version,
            platform="arithmetic",
            signatures={"serving_default": SIGNATURES[model]},
        )


class Refusal(Exception):
    """The model refuses a batch, as a server would."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class Gate:
    """A fault that holds every batch until it is opened, and tells when one has arrived."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.arrived = asyncio.Event()

    async def __call__(self, _: InferRequest) -> InferResponse | None:
        self.arrived.set()
        await self.opened.wait()
        return None

    async def reached(self) -> None:
        """Wait, within bounds, until a batch has arrived."""
        async with asyncio.timeout(20):
            await self.arrived.wait()


@asynccontextmanager
async def serving(model: Arithmetic, address: str = "127.0.0.1:0") -> AsyncIterator[Arithmetic]:
    """Serve `model` in both protocols until the block ends."""

    async def predict(data: bytes, context: Context) -> bytes:
        return tfs_proto.encode_response(
            await model.answer(tfs_proto.decode_request(data), context)
        )

    async def infer(data: bytes, context: Context) -> bytes:
        return oip_proto.encode_response(
            await model.answer(oip_proto.decode_request(data), context)
        )

    async def tfs_metadata(data: bytes, context: Context) -> bytes:
        target = tfs_proto.decode_metadata_request(data)
        await _check(model, target.model, context)
        return tfs_proto.encode_metadata(model.describe(target.model))

    async def oip_metadata(data: bytes, context: Context) -> bytes:
        name, _ = oip_proto.decode_model_request(data)
        await _check(model, name, context)
        return oip_proto.encode_model_metadata(model.describe(name))

    services = {
        "tensorflow.serving.PredictionService": {
            "Predict": predict,
            "GetModelMetadata": tfs_metadata,
        },
        "inference.GRPCInferenceService": {"ModelInfer": infer, "ModelMetadata": oip_metadata},
    }
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    for service, methods in services.items():
        handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            name: grpc.unary_unary_rpc_method_handler(method) for name, method in methods.items()
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    model.address = f"127.0.0.1:{server.add_insecure_port(address)}"
    await server.start()
    try:
        yield model
    finally:
        await server.stop(None)


async def _check(model: Arithmetic, name: str, context: Context) -> None:
    if name not in model.models:
        await context.abort(grpc.StatusCode.NOT_FOUND, "no such model")
