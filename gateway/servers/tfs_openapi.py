"""What do /docs and /openapi.json say of TF Serving's routes but predict?

The examples run against `half_plus_two`, the model of TF Serving's own documentation, and say so: what a model
takes that classifies or regresses is its own, and the demo has none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = ["question_paths", "tfs_paths", "with_preflights"]

_TAG = "TF Serving"
_PLACES = {
    "/v1/models/{model}": ("model",),
    "/v1/models/{model}/versions/{version}": ("model", "version"),
    "/v1/models/{model}/labels/{label}": ("model", "label"),
}
_VERBS = {
    "classify": [[["", 3.0]], [["", 4.0]]],
    "regress": [3.0, 4.0],
}
"""What half_plus_two answers to 2 and 4."""

Post = Callable[[str, str, object, object], dict[str, Any]]
WithPath = Callable[..., dict[str, Any]]


def tfs_paths(post: Post, with_path: WithPath) -> dict[str, Any]:
    """The paths of classify and regress; the arguments write an operation, and join its path to it."""
    paths: dict[str, Any] = {}
    for verb, results in _VERBS.items():
        body = {"signature_name": f"{verb}_x_to_y", "examples": [{"x": [2.0]}, {"x": [4.0]}]}
        summary = (
            f"{verb.capitalize()}: for arms that a TF Serving serves (the example: half_plus_two)"
        )
        operation = post(summary, _TAG, body, {"results": results})
        for place, names in _PLACES.items():
            paths[f"{place}:{verb}"] = with_path(operation, *names)
    return paths


def question_paths(error: Mapping[str, Any]) -> dict[str, Any]:
    """The paths of the list, of statuses and of metadata; `error` describes an error's body."""
    paths = {"/v1/models": _get("The models that are served", (), error)}
    for place, names in _PLACES.items():
        paths[place] = _get("The states of a model's versions", names, error)
        paths[f"{place}/metadata"] = _get("A model's signatures", names, error)
    return paths


def with_preflights(paths: Mapping[str, Any]) -> dict[str, Any]:
    """The paths, with what a browser asks before it calls those of TF Serving from another page."""
    return {
        path: {**methods, "options": _preflight(path)} if path.startswith("/v1/") else methods
        for path, methods in paths.items()
    }


def _preflight(path: str) -> dict[str, Any]:
    names = [part.partition("}")[0] for part in path.split("{")[1:]]
    origin = {"name": "origin", "in": "header", "schema": {"type": "string"}}
    responses = {
        "200": {"description": "No body; the headers that rest.cors adds"},
        "400": {"description": "The origin is no page's"},
    }
    return {
        "summary": "A browser's question before a call",
        "tags": [_TAG],
        "parameters": [*_in_path(names), origin],
        "responses": responses,
    }


def _in_path(names: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in names
    ]


def _get(summary: str, names: tuple[str, ...], error: Mapping[str, Any]) -> dict[str, Any]:
    answer = {"application/json": {"schema": {"type": "object"}}}
    responses: dict[str, Any] = {"200": {"description": "The answer", "content": answer}}
    if names:
        responses["400"] = {"description": "A version that is no number, or no such path", **error}
        responses["404"] = {"description": "No such model or version", **error}
    return {
        "get": {
            "summary": summary,
            "tags": [_TAG],
            "parameters": _in_path(names),
            "responses": responses,
        }
    }
