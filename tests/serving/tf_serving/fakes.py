"""A servable without a model, and a log that can be asked."""

from __future__ import annotations

import threading

import numpy as np

from gateway.messages import InferRequest, InferResponse
from gateway.tensors import Tensor
from serving.tf_serving.served import LoadError


class FakeServable:
    """Answers with its version; `gate` holds every call until it is set."""

    def __init__(self, model: str, version: int, gate: threading.Event | None = None) -> None:
        self.metadata = f"{model} {version}".encode()
        self.started = threading.Semaphore(0)
        self.calls = 0
        self.is_closed = False
        self._version = version
        self._gate = gate

    def predict(self, request: InferRequest) -> InferResponse:
        assert not self.is_closed, "called after it was closed"
        self.calls += 1
        self.started.release()
        if self._gate is not None:
            assert self._gate.wait(30)
        assert not self.is_closed, "closed under a call"
        answer = Tensor("version", "INT64", np.array([self._version], np.int64))
        return InferResponse(model=request.model, version=str(self._version), outputs=(answer,))

    def close(self) -> None:
        self.is_closed = True


class Events:
    """Collects what was reported, as (event, model, version)."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, object, object]] = []
        self.fields: list[dict[str, object]] = []

    def __call__(self, event: str, /, **fields: object) -> None:
        self.seen.append((event, fields.get("model"), fields.get("version")))
        self.fields.append(fields)


def broken(reason: str = "broken") -> LoadError:
    return LoadError("DATA_LOSS", reason)
