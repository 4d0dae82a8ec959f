"""What did the real TF Serving answer? The recorded exchanges, and the signatures of its models."""

from __future__ import annotations

import base64
import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.codecs import tfs_proto
from gateway.messages import ModelDescription
from gateway.tensors import DTYPES, Datatype, Signature, TensorSpec

GOLDEN = Path(__file__).parent.parent / "golden" / "tf_serving"
_PREDICT = re.compile(r"/v1/models/([^/:]+)(/versions/\d+|/labels/[^/:]+)?:predict")


@dataclass(frozen=True, slots=True)
class RestExchange:
    """One REST call: what was sent and what came back, as bytes."""

    id: int
    group: str
    path: str
    body: bytes
    status: int
    response: bytes

    @property
    def model(self) -> str:
        """The model in a predict path, "" for any other path."""
        match = _PREDICT.fullmatch(self.path)
        return match[1] if match else ""

    @property
    def error(self) -> str:
        """The text under "error", "" for a success or an answer that is no JSON."""
        if self.status == 200 or not self.response.startswith(b"{"):
            return ""
        document = json.loads(self.response.decode("utf-8", "replace"))
        return str(document["error"])


@dataclass(frozen=True, slots=True)
class GrpcExchange:
    """One gRPC call; `response` is None when it failed with `code`."""

    id: int
    group: str
    method: str
    request: bytes
    code: str
    details: str
    response: bytes | None
    note: str


@functools.cache
def rest_exchanges() -> tuple[RestExchange, ...]:
    lines = (GOLDEN / "rest.jsonl").read_text().splitlines()
    return tuple(_rest_exchange(json.loads(line)) for line in lines)


@functools.cache
def grpc_exchanges() -> tuple[GrpcExchange, ...]:
    lines = (GOLDEN / "grpc.jsonl").read_text().splitlines()
    return tuple(_grpc_exchange(json.loads(line)) for line in lines)


@functools.cache
def grpc_descriptions() -> Mapping[str, ModelDescription]:
    """What the recorded server said of its models over gRPC (the newest version last), by model."""
    described = [
        tfs_proto.decode_metadata(exchange.response)
        for exchange in grpc_exchanges()
        if exchange.method == "GetModelMetadata" and exchange.response is not None
    ]
    described.sort(key=lambda description: int(description.version))
    return {description.model: description for description in described}


@functools.cache
def signatures() -> Mapping[str, Mapping[str, Signature]]:
    """The signatures of every recorded model that Tandem can call, by model and name."""
    described = {model: found.signatures for model, found in grpc_descriptions().items()}
    return {**described, **_UNRECORDED}


def signature(
    name: str, inputs: Mapping[str, str], outputs: Mapping[str, str], method: str = ""
) -> Signature:
    """A signature in shorthand: {"x": "FP32 -1,4"}."""
    return Signature(name, _specs(inputs), _specs(outputs), method)


def _specs(shorthand: Mapping[str, str]) -> dict[str, TensorSpec]:
    specs = {}
    for name, text in shorthand.items():
        datatype, _, dims = text.partition(" ")
        shape = tuple(int(dim) for dim in dims.split(",") if dim)
        specs[name] = TensorSpec(name, _datatype(datatype), shape)
    return specs


def _datatype(text: str) -> Datatype:
    return next(name for name in DTYPES if name == text)


# Models whose metadata was not asked for while recording; from the programs that made them.
_HALF = {"serving_default": signature("serving_default", {"x": "FP32 -1"}, {"y": "FP32 -1"})}
_UNRECORDED: Mapping[str, Mapping[str, Signature]] = {
    "half_plus_two_tf2": _HALF,
    "half_plus_three": _HALF,
    "mlp": {
        "serving_default": signature(
            "serving_default", {"x": "FP32 -1,4"}, {"output_0": "FP32 -1,3"}
        )
    },
    "est": {
        "predict": signature("predict", {"examples": "BYTES -1"}, {"scores": "FP32 -1,3"}),
        "parsed": signature(
            "parsed",
            {"inputs": "BYTES -1"},
            {"name": "BYTES -1,1", "n": "INT64 -1,1", "x": "FP32 -1,1"},
        ),
        "serving_default": signature(
            "serving_default",
            {"inputs": "BYTES -1"},
            {"classes": "BYTES -1,3", "scores": "FP32 -1,3"},
        ),
        "reg": signature("reg", {"inputs": "BYTES -1"}, {"outputs": "FP32 -1"}),
    },
}


def _rest_exchange(line: Mapping[str, object]) -> RestExchange:
    return RestExchange(
        id=int(str(line["id"])),
        group=str(line["group"]),
        path=str(line["path"]),
        body=_bytes(line, "body"),
        status=int(str(line["status"])),
        response=_bytes(line, "response"),
    )


def _grpc_exchange(line: Mapping[str, object]) -> GrpcExchange:
    return GrpcExchange(
        id=int(str(line["id"])),
        group=str(line["group"]),
        method=str(line["method"]),
        request=_bytes(line, "request"),
        code=str(line["code"]),
        details=str(line.get("details") or ""),
        response=_bytes(line, "response") if "response_b64" in line else None,
        note=str(line.get("note", "")),
    )


def _bytes(line: Mapping[str, object], field: str) -> bytes:
    encoded = line.get(f"{field}_b64")
    if encoded is not None:
        return base64.b64decode(str(encoded))
    return str(line.get(field, "")).encode()
