"""The models' code for the real TorchServe, which loads `Served` in its workers, in its own environment.

Answers in the form of the question: `{"instances": rows}` or the Open Inference Protocol's JSON. `iris` also
describes itself; the other models say nothing, as most do.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from tests.peers import models


class Served:
    """What a worker calls: `initialize` once, then `handle` with a list of requests."""

    def initialize(self, context: Any) -> None:
        """Load the model that the archive is named for."""
        self._model = context.manifest["model"]["modelName"]
        self._function = models.load(self._model)

    def handle(self, requests: list[dict[str, Any]], context: Any) -> list[Any]:
        """One answer for every request."""
        if context.get_request_header(0, "describe") == "True":
            told = {"inputs": _told(models.INPUTS), "outputs": _told(models.OUTPUTS)}
            return [json.dumps(told) if self._model == "iris" else "says nothing of itself"]
        return [self._answer(request["body"]) for request in requests]

    def _answer(self, body: dict[str, Any]) -> Any:
        specs = models.INPUTS[self._model]
        if "instances" in body:
            rows = body["instances"]
            columns = {name: [_value(row, name) for row in rows] for name in specs}
            outputs = self._function({n: _array(specs[n][0], v) for n, v in columns.items()})
            return {"predictions": _rows(outputs)}
        inputs = {
            entry["name"]: _array(entry["datatype"], entry["data"]).reshape(entry["shape"])
            for entry in body["inputs"]
        }
        return {"outputs": [self._listed(n, a) for n, a in self._function(inputs).items()]}

    def _listed(self, name: str, array: models.Array) -> dict[str, Any]:
        datatype = models.OUTPUTS[self._model][name][0]
        data = array.ravel().tolist()
        return {"name": name, "datatype": datatype, "shape": list(array.shape), "data": data}


def _told(specs: Any) -> list[dict[str, Any]]:
    return [
        {"name": name, "datatype": kind, "shape": shape}
        for name, (kind, shape) in specs["iris"].items()
    ]


def _value(row: Any, name: str) -> Any:
    return row[name] if isinstance(row, dict) else row


def _array(kind: str, values: Any) -> models.Array:
    return np.array(values, object if kind == "BYTES" else models.KINDS[kind])


def _rows(outputs: Any) -> list[Any]:
    columns = {name: array.tolist() for name, array in outputs.items()}
    if len(columns) == 1:
        (rows,) = columns.values()
        return list(rows)
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
