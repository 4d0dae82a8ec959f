"""Questions about examples, before replicas that a test makes fail."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from prometheus_client import CollectorRegistry

from gateway.backends.example_replicas import ExampleReplicas
from gateway.errors import BackendUnavailable
from gateway.messages import Deadline, ExampleMethod, Trace
from gateway.ports import ExampleBackend
from gateway.telemetry.replicas import ReplicaMetrics
from tests.backends.test_replicas import FAR, Replica, Set, away, run


def test_questions_about_examples_go_to_one_replica_that_has_the_model() -> None:
    """As batches do; only replicas that can be asked so are such a backend."""

    @dataclass
    class Asked(Replica):
        async def ask(
            self,
            method: ExampleMethod,
            data: bytes,
            deadline: Deadline,
            *,
            trace: Trace | None = None,
        ) -> bytes:
            assert (method, deadline, trace) == ("Classify", FAR, None)
            self.asked += 1
            await self._may_go()
            return data

    async def story() -> None:
        old, new = Asked("1"), Asked("2")
        metrics = ReplicaMetrics(CollectorRegistry())
        rolls = iter([0.0, 0.99] * 100)
        replicas = {"a": old, "b": new}
        both = ExampleReplicas("pt", replicas, metrics, draw=lambda: next(rolls))
        assert isinstance(both, ExampleBackend)
        assert not isinstance(Set([old]).backend, ExampleBackend)
        await both.describe("iris", None)
        data = b"\x0a\x06\x0a\x04iris"
        for _ in range(4):
            assert await both.ask("Classify", data, FAR) == data
        assert (old.asked, new.asked) == (0, 4)
        new.error = away()
        with pytest.raises(BackendUnavailable):
            await both.ask("Classify", data, FAR)

    run(story)
