"""A servable without a model, and a log that can be asked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from gateway.messages import InferRequest, InferResponse
from gateway.tensors import Array, Tensor
from serving.tf_serving.served import LoadError
from serving.tf_serving.signature import ServedSignature


class FakeServable:
    """Answers with its version; `gate` holds every call until it is set.

    `evaluate` gives `graph`'s tensors by name, and `fed` is what it was called with.
    """

    def __init__(self, model: str, version: int, gate: threading.Event | None = None) -> None:
        self.metadata = f"{model} {version}".encode()
        self.started = threading.Semaphore(0)
        self.calls = 0
        self.is_closed = False
        self.version = version
        self.signatures: Mapping[str, ServedSignature] = {}
        self.graph: Mapping[str, Array] = {}
        self.fed: list[tuple[tuple[str, ...], Sequence[Array]]] = []
        self._gate = gate

    def predict(self, request: InferRequest) -> InferResponse:
        assert not self.is_closed, "called after it was closed"
        self.calls += 1
        self.started.release()
        if self._gate is not None:
            assert self._gate.wait(30)
        assert not self.is_closed, "closed under a call"
        answer = Tensor("version", "INT64", np.array([self.version], np.int64))
        return InferResponse(model=request.model, version=str(self.version), outputs=(answer,))

    def evaluate(
        self, feeds: tuple[str, ...], fetches: tuple[str, ...], values: Sequence[Array]
    ) -> tuple[Array, ...]:
        assert not self.is_closed, "called after it was closed"
        self.fed.append((feeds, values))
        return tuple(self.graph[name] for name in fetches)

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


class FakeReloads:
    """Takes any configuration; `told` are those it was sent. If it `waits`, then until the caller leaves."""

    def __init__(self) -> None:
        self.told: list[bytes] = []
        self.left = threading.Event()
        self.waits = False
        self._woken = threading.Event()

    def answer(self, data: bytes, is_awaited: Callable[[], bool]) -> bytes:
        self.told.append(data)
        while self.waits and is_awaited():
            assert self._woken.wait(30)
            self._woken.clear()
        if self.waits:
            self.left.set()
        return b"taken"

    def wake(self) -> None:
        self._woken.set()


def broken(reason: str = "broken") -> LoadError:
    return LoadError("DATA_LOSS", reason)
