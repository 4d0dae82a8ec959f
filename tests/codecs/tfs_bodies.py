"""Short ways to read and write REST bodies, for the tests of the codec."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from gateway.codecs import tfs_json
from gateway.errors import InvalidRequest
from gateway.messages import InferResponse
from gateway.tensors import DTYPES, Datatype, Tensor
from tests.codecs.tfs_golden import signature


def read(body: bytes | str, **inputs: str) -> dict[str, Any]:
    """The tensors' values by name, for a signature with these inputs."""
    return {tensor.name: tensor.array.tolist() for tensor in read_tensors(body, **inputs)}


def read_tensors(body: bytes | str, **inputs: str) -> tuple[Tensor, ...]:
    text = body.encode() if isinstance(body, str) else body
    wanted = signature("serving_default", inputs, {})
    return tfs_json.decode_inputs(tfs_json.parse_predict(text), wanted)


def refusal(body: bytes | str, **inputs: str) -> str:
    with pytest.raises(InvalidRequest) as refused:
        read_tensors(body, **(inputs or {"default": "INT32 -1"}))
    return refused.value.message


def output(name: str, datatype: Datatype, values: Any) -> Tensor:
    array = np.empty(0, object) if datatype == "BYTES" else np.array(values, DTYPES[datatype])
    if datatype == "BYTES":
        array = np.array(values, object)
    return Tensor(name, datatype, array)


def written(form: Any, *outputs: Tensor) -> Any:
    answer = InferResponse(model="m", version="1", outputs=outputs)
    return json.loads(tfs_json.encode_response(answer, form))
