"""What do /docs and /openapi.json say of the predict routes, which FastAPI does not see?

The routes are raw ASGI endpoints, so their part of the description is written here, with an example that
works against the demo, and joined to what FastAPI knows of its own routes.
"""

from __future__ import annotations

import json
from typing import Any

from gateway.servers.tfs_openapi import question_paths, tfs_paths, with_preflights
from gateway.servers.torchserve_openapi import prediction_paths

__all__ = ["with_predict_routes"]

_FLOWER = [5.1, 3.5, 1.4, 0.2]

_ERROR = {
    "content": {
        "application/json": {
            "schema": {"type": "object", "properties": {"error": {"type": "string"}}},
        }
    }
}

_ERRORS = {
    "400": {"description": "The body, a name, a dtype, a shape or a row count is wrong", **_ERROR},
    "404": {"description": "No such model or version", **_ERROR},
    "413": {"description": "The body is over limits.max_body_bytes", **_ERROR},
    "429": {"description": "A queue is full; Retry-After says when to come back", **_ERROR},
    "503": {"description": "Not ready, or the backend cannot be reached", **_ERROR},
    "504": {"description": "The deadline passed", **_ERROR},
}

_HEADERS = [
    ("x-tandem-unit", "What is hashed for stickiness"),
    ("x-tandem-arm", "The arm that must answer"),
    ("x-tandem-timeout-ms", "The caller's patience in milliseconds"),
    ("x-tandem-explain", "Any value asks for headers that say where the answer came from"),
]


_OIP_HEADERS = [
    *_HEADERS,
    (
        "inference-header-content-length",
        "Bytes of JSON before the raw tensors; 0 for a raw request",
    ),
    ("accept-encoding", "gzip or deflate, for a compressed answer"),
]


def with_predict_routes(description: dict[str, Any]) -> dict[str, Any]:
    """The OpenAPI description, with the raw routes of the three dialects added."""
    tfs = _post(
        "Predict, TF Serving's dialect",
        "TF Serving",
        {"instances": [_FLOWER]},
        {"predictions": [[12.2, 4.8, -9.4]]},
    )
    asked = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": _FLOWER}]}
    oip = _post(
        "Infer, Open Inference Protocol v2",
        "Open Inference Protocol v2",
        asked,
        {
            "model_name": "iris",
            "model_version": "1",
            "outputs": [
                {"name": "logits", "shape": [1, 3], "datatype": "FP32", "data": [12.2, 4.8, -9.4]}
            ],
        },
    )
    answered = oip["responses"]["200"]
    binary = {"schema": {"type": "string", "format": "binary"}}
    # JSON, then the raw tensors that it announces: none.
    for body, example in ((oip["requestBody"], {"example": json.dumps(asked)}), (answered, {})):
        body["content"] |= {"application/octet-stream": {**binary, **example}}
    paths = {
        "/v1/models/{model}:predict": _with_path(tfs, "model"),
        "/v1/models/{model}/versions/{version}:predict": _with_path(tfs, "model", "version"),
        "/v1/models/{model}/labels/{label}:predict": _with_path(tfs, "model", "label"),
        "/v2/models/{model}/infer": _with_path(oip, "model", headers=_OIP_HEADERS),
        "/v2/models/{model}/versions/{version}/infer": _with_path(
            oip, "model", "version", headers=_OIP_HEADERS
        ),
        **tfs_paths(_post, _with_path),
        **question_paths(_ERROR),
        **prediction_paths(),
    }
    whole = {**with_preflights(paths), **description.get("paths", {})}
    return {**description, "paths": whole}


def _post(summary: str, tag: str, request: object, response: object) -> dict[str, Any]:
    return {
        "summary": summary,
        "tags": [tag],
        "requestBody": {"required": True, "content": _json(request)},
        "responses": {"200": {"description": "The answer", "content": _json(response)}, **_ERRORS},
    }


def _json(example: object) -> dict[str, Any]:
    return {"application/json": {"schema": {"type": "object"}, "example": example}}


def _with_path(
    operation: dict[str, Any], *names: str, headers: list[tuple[str, str]] = _HEADERS
) -> dict[str, Any]:
    in_path = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in names
    ]
    in_headers = [
        {"name": name, "in": "header", "description": text, "schema": {"type": "string"}}
        for name, text in headers
    ]
    return {"post": {**operation, "parameters": in_path + in_headers}}
