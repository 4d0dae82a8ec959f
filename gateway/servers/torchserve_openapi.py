"""What do the descriptions say of TorchServe's prediction routes, in general and for one model?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from gateway.messages import DEFAULT_SIGNATURE, ModelDescription
from gateway.tensors import TensorSpec

__all__ = ["model_api", "prediction_paths"]

_TAG = "TorchServe"
_FLOWER, _LOGITS = [5.1, 3.5, 1.4, 0.2], [12.2, 4.8, -9.4]
_STATUSES = {
    "400": "The body, a name, a dtype, a shape or a row count is wrong",
    "404": "No such model or version",
    "405": "Neither POST nor PUT",
    "413": "The body is over limits.max_body_bytes",
    "429": "A queue is full; Retry-After says when to come back",
    "503": "Not ready, or the backend cannot be reached",
    "504": "The deadline passed",
}
_PROPERTIES = {
    "code": {"type": "integer"},
    "type": {"type": "string"},
    "message": {"type": "string"},
}
_PROBLEM = {"application/json": {"schema": {"type": "object", "properties": _PROPERTIES}}}
_BYTES = {
    "schema": {
        "type": "string",
        "format": "binary",
        "description": "A .npy file, or the numbers of the one input: little-endian, in its shape and dtype",
    }
}


def prediction_paths() -> dict[str, Any]:
    """The paths of predictions, with an example that works against the demo."""
    values = {
        "schema": {},
        "examples": {
            "rows": {"value": {"instances": [_FLOWER]}},
            "one row": {"value": _FLOWER},
            "named": {"value": {"x": [_FLOWER]}},
        },
    }
    content = {
        "application/json": values,
        "multipart/form-data": {
            "schema": {"type": "object"},
            "example": {"x": json.dumps([_FLOWER])},
        },
        "application/octet-stream": _BYTES,
    }
    answer = {"application/json": {"schema": {}, "example": {"predictions": [_LOGITS]}}}
    post = _operation("Predict, TorchServe's dialect", content, answer)
    return {
        "/predictions/{model}": _methods(post, "model"),
        "/predictions/{model}/{version}": _methods(post, "model", "version"),
    }


def model_api(description: ModelDescription) -> dict[str, Any]:
    """The description of one model: its inputs and outputs as its signature declares them."""
    signature = description.signatures.get(DEFAULT_SIGNATURE)
    inputs = {} if signature is None else signature.inputs
    outputs = {} if signature is None else signature.outputs
    post = _operation(
        f"Predict with {description.model}",
        {"application/json": {"schema": _schema(inputs)}, "application/octet-stream": _BYTES},
        {"application/json": {"schema": _schema(outputs)}},
    )
    return {
        "openapi": "3.1.0",
        "info": {"title": description.model, "version": description.version},
        "paths": {f"/predictions/{description.model}": {"post": post}},
    }


def _operation(
    summary: str, request: Mapping[str, Any], response: Mapping[str, Any]
) -> dict[str, Any]:
    problems = {
        status: {"description": text, "content": _PROBLEM} for status, text in _STATUSES.items()
    }
    return {
        "summary": summary,
        "tags": [_TAG],
        "requestBody": {"required": True, "content": request},
        "responses": {"200": {"description": "The answer", "content": response}, **problems},
    }


def _methods(operation: Mapping[str, Any], *names: str) -> dict[str, Any]:
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in names
    ]
    whole = {**operation, "parameters": parameters}
    return {"post": whole, "put": whole}


def _schema(specs: Mapping[str, TensorSpec]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            spec.name: {"description": f"{spec.datatype} {spec.describe_shape()}"}
            for spec in specs.values()
        },
    }
