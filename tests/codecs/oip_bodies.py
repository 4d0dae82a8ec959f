"""REST bodies of the Open Inference Protocol, made for tests, and what becomes of them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from gateway.codecs import oip_json
from gateway.codecs.oip_json import OutputForm
from gateway.errors import InvalidRequest
from gateway.messages import InferRequest, InferResponse
from gateway.tensors import Array, Datatype, Tensor

JSON, BINARY = OutputForm(binary=False), OutputForm(binary=True)


def decode(
    body: bytes | dict[str, Any], header_length: int | None = None
) -> tuple[InferRequest, OutputForm]:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return oip_json.decode_request(text, header_length, model="m", version=None)


def with_input(**members: Any) -> dict[str, Any]:
    """A body with one FP32 input `x` of shape [2], with some members changed (None: left out)."""
    tensor = {"name": "x", "datatype": "FP32", "shape": [2], "data": [1, 2], **members}
    return {"inputs": [{k: v for k, v in tensor.items() if v is not None}]}


def array_in(**members: Any) -> Array:
    return decode(with_input(**members))[0].inputs[0].array


def refusal(body: bytes | dict[str, Any], header_length: int | None = None) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        decode(body, header_length)
    return caught.value


def response(*outputs: Tensor) -> InferResponse:
    return InferResponse(model="m", version="1", outputs=outputs)


def output(datatype: Datatype, array: Any, name: str = "y") -> Tensor:
    return Tensor(name, datatype, np.asarray(array))
