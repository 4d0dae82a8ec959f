"""What is sent: one tensor, as each wire writes it."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from gateway.codecs import oip_json, oip_proto
from gateway.messages import InferRequest
from gateway.tensors import Tensor
from loadtests.bench_wire.backend import INPUT, OUTPUT, SERVICE

__all__ = ["SIZES", "WIRES", "Body", "Wire", "body_of", "message_of"]

Wire: TypeAlias = Literal["REST JSON", "REST binary", "gRPC raw"]

WIRES: tuple[Wire, ...] = ("REST JSON", "REST binary", "gRPC raw")
SIZES: Mapping[str, int] = {"4B": 1, "10KB": 2_560, "600KB": 150_528, "6MB": 1_505_280}
"""Elements of FP32 in a tensor of that size; 150,528 is 3 * 224 * 224."""


@dataclass(frozen=True, slots=True)
class Body:
    """A request.

    Attributes:
        content: As it stands in the HTTP body; for gRPC the message after its prefix.
        answer_bytes: The answer has at least so many.
    """

    path: str
    content: bytes
    answer_bytes: int
    headers: Mapping[str, str]


def body_of(wire: Wire, elements: int, model: str) -> Body:
    """The request of `[1, elements]` FP32 to `model`, whose answer comes in the same form."""
    numbers = np.random.default_rng(elements).standard_normal((1, elements), np.float32)
    request = InferRequest(model=model, inputs=(Tensor(INPUT, "FP32", numbers),), outputs=(OUTPUT,))
    least = 4 * elements if model == "same" else 4
    if wire == "gRPC raw":
        message = oip_proto.encode_request(request)
        prefix = struct.pack(">BI", 0, len(message))  # not compressed, so long
        headers = {"content-type": "application/grpc", "te": "trailers"}
        return Body(f"/{SERVICE}/ModelInfer", prefix + message, least, headers)
    content, header_length = oip_json.encode_request(request, binary=wire == "REST binary")
    headers = {"content-type": "application/json"}
    if header_length is not None:
        headers = {
            "content-type": "application/octet-stream",
            "inference-header-content-length": str(header_length),
        }
    return Body(f"/v2/models/{model}/infer", content, least, headers)


def message_of(body: Body) -> bytes:
    """The message after gRPC's prefix."""
    return body.content[5:]
