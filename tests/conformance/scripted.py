"""A TF Serving on a real socket whose models only do what a case needs: take inputs, answer what is scripted.

m               a signature for every kind of input; what arrived is kept, each output is scripted
half_plus_two   y = x/2 + 2 in version 123, of floats (Predict) or of examples (Classify, Regress)
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

import grpc
import numpy as np

from gateway._stubs import tfs_wire_pb2 as wire
from gateway.codecs import tfs_proto
from gateway.errors import GatewayError, UnknownModel
from gateway.messages import InferRequest, InferResponse, ModelDescription
from gateway.tensors import DTYPES, Datatype, Signature, Tensor, TensorSpec

Context: TypeAlias = "grpc.aio.ServicerContext[bytes, bytes]"


def _specs(shorthand: str) -> dict[str, TensorSpec]:
    """`a:INT32 b:BYTES` as specs of unknown rank."""
    pairs = (part.split(":") for part in shorthand.split())
    return {name: TensorSpec(name, cast("Datatype", datatype), None) for name, datatype in pairs}


def signature(name: str, inputs: str, outputs: str) -> Signature:
    """A signature in shorthand."""
    return Signature(name, _specs(inputs), _specs(outputs), "tensorflow/serving/predict")


def tensor(name: str, datatype: Datatype, values: Any) -> Tensor:
    """A tensor in shorthand."""
    return Tensor(name, datatype, np.array(values, DTYPES[datatype]))


_INPUTS: Mapping[str, str] = {
    "int": "default:INT32",
    "predict_images": "default:INT32",
    "float": "default:FP32",
    "double": "default:FP64",
    "string": "default:BYTES",
    "int_str": "int:INT32 str:BYTES",
    "four": "int:INT32 str:BYTES float:FP32 dbl:FP64",
    "int_tensor": "int_tensor:INT32",
    "three": "int_tensor:INT32 str_tensor:BYTES bin_tensor:BYTES",
}

_OUTPUTS: Mapping[str, tuple[Tensor, ...]] = {
    "out_int": (tensor("y", "INT32", [[[1, 2], [3, 4], [5, 6]], [[7, 8], [9, 0], [1, 2]]]),),
    "out_five": (tensor("y", "INT32", [1, 2, 3, 4, 5]),),
    "out_bytes": (
        tensor("str_tensor_bytes", "BYTES", [[b"hello", b"world"], [b"tf", b"serving"]]),
    ),
    "out_floats": (tensor("y", "FP32", [9000000, 999999, 0.5, 0.0003, 0.00003, 555557.5]),),
    "out_special": (tensor("y", "FP32", [np.nan, np.inf, 3, -np.inf]),),
    "out_scalar": (tensor("y", "INT32", 1),),
    "out_many": (
        tensor("int_tensor", "INT32", [[1, 2], [3, 4]]),
        tensor("str_tensor", "BYTES", [b"foo", b"bar"]),
        tensor("float_tensor", "FP32", [1.5, 2.5]),
        tensor("double_tensor", "FP64", [3.0, 4.0]),
        tensor("bin_tensor_bytes", "BYTES", [b"hello", b"world"]),
    ),
    "out_rows": (tensor("a", "INT32", [1, 2]), tensor("b", "INT32", [1])),
    "out_no_rows": (tensor("a", "INT32", []), tensor("b", "INT32", [1])),
    "out_empty": (tensor("y", "INT32", np.zeros((0, 2))),),
    "out_empties": (
        tensor("a", "INT32", np.zeros((0, 1, 2))),
        tensor("b", "INT32", np.zeros((0, 3, 4))),
    ),
}


def _scripted() -> dict[str, Signature]:
    found = {name: signature(name, inputs, "y:INT32") for name, inputs in _INPUTS.items()}
    for name, outputs in _OUTPUTS.items():
        declared = " ".join(f"{one.name}:{one.datatype}" for one in outputs)
        found[name] = signature(name, "x:INT32", declared)
    return found


HALF = {
    "serving_default": Signature(
        "serving_default",
        {"x": TensorSpec("x", "FP32", (-1, 1))},
        {"y": TensorSpec("y", "FP32", (-1, 1))},
        "tensorflow/serving/predict",
    )
}


@dataclass
class Scripted:
    """What the server has seen. `asked` is the latest Predict for `m`, `examples` the latest examples."""

    address: str = ""
    asked: InferRequest | None = None
    examples: wire.Input = field(default_factory=wire.Input)

    def predict(self, data: bytes) -> bytes:
        request = tfs_proto.decode_request(data)
        if request.model == "half_plus_two":
            (x,) = request.inputs
            halves = np.asarray(x.array, np.float32) / 2
            outputs: tuple[Tensor, ...] = (tensor("y", "FP32", halves + 2),)
        else:
            self.asked = request
            outputs = _OUTPUTS.get(request.signature, (tensor("y", "INT32", [0]),))
        return tfs_proto.encode_response(
            InferResponse(
                model=request.model,
                version=request.version or "",
                outputs=outputs,
                signature=request.signature,
            )
        )

    def classify(self, data: bytes) -> bytes:
        request = wire.ClassificationRequest.FromString(data)
        self.examples = request.input
        response = wire.ClassificationResponse(model_spec=request.model_spec)
        if request.model_spec.signature_name == "cars":
            for _ in range(2):
                found = response.result.classifications.add()
                for label, score in (("car", 0.2), ("bus", 0.5), ("", np.inf)):
                    found.classes.add(label=label, score=score)
            return response.SerializeToString()
        for score in self._halves():
            response.result.classifications.add().classes.add(score=score)
        return response.SerializeToString()

    def regress(self, data: bytes) -> bytes:
        request = wire.RegressionRequest.FromString(data)
        self.examples = request.input
        response = wire.RegressionResponse(model_spec=request.model_spec)
        special = [0.2, np.inf, 1, -np.inf, np.nan]
        is_special = request.model_spec.signature_name == "special"
        for value in special if is_special else self._halves():
            response.result.regressions.add(value=value)
        return response.SerializeToString()

    def _halves(self) -> list[float]:
        examples = [
            dict(example.features.feature) for example in self.examples.example_list.examples
        ]
        values = [features["x"].float_list.value for features in examples if "x" in features]
        return [value[0] / 2 + 2 for value in values]

    def metadata(self, data: bytes) -> bytes:
        target = tfs_proto.decode_metadata_request(data)
        signatures = {"m": _scripted(), "half_plus_two": HALF}.get(target.model)
        if signatures is None or target.version not in (None, "123"):
            raise UnknownModel("no such model")
        return tfs_proto.encode_metadata(
            ModelDescription(
                model=target.model, version="123", platform="scripted", signatures=signatures
            )
        )


@asynccontextmanager
async def serving(scripted: Scripted) -> AsyncIterator[Scripted]:
    """Serve until the block ends; `address` says where."""
    methods = {
        "Predict": scripted.predict,
        "Classify": scripted.classify,
        "Regress": scripted.regress,
        "GetModelMetadata": scripted.metadata,
    }
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        name: grpc.unary_unary_rpc_method_handler(_method(answer))
        for name, answer in methods.items()
    }
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    service = "tensorflow.serving.PredictionService"
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    scripted.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield scripted
    finally:
        await server.stop(None)


def _method(answer: Callable[[bytes], bytes]) -> Callable[[bytes, Context], Any]:
    async def method(data: bytes, context: Context) -> bytes:
        try:
            return answer(data)
        except GatewayError as error:
            await context.abort(grpc.StatusCode[error.grpc_code], str(error))
            raise AssertionError from error

    return method
