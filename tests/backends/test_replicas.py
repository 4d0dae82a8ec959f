"""Several addresses as one backend, before replicas that a test makes fail."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from gateway.backends.replicas import Replicas
from gateway.backends.standing import MAX_FAILURES
from gateway.errors import (
    BackendBusy,
    BackendTimeout,
    BackendUnavailable,
    GatewayError,
    UnknownModel,
)
from gateway.messages import (
    Deadline,
    InferRequest,
    InferResponse,
    ModelDescription,
    VersionStatus,
)
from gateway.telemetry.replicas import ReplicaMetrics
from gateway.tensors import Tensor

BATCH = InferRequest(model="iris", inputs=(Tensor("x", "FP32", np.zeros((1, 4), np.float32)),))
FAR = Deadline(1e12)


@dataclass
class Replica:
    """One address: answers, unless it has an `error`; waits for `go` first, if there is one."""

    version: str = "1"
    error: GatewayError | None = None
    asked: int = 0
    go: asyncio.Event | None = None
    deadline: Deadline = FAR
    closed: bool = False
    seen: asyncio.Event = field(default_factory=asyncio.Event)

    async def infer(self, batch: InferRequest, deadline: Deadline) -> InferResponse:
        assert deadline is self.deadline
        self.asked += 1
        self.seen.set()
        await self._may_go()
        return InferResponse(model=batch.model, version=self.version, outputs=())

    async def describe(self, model: str, version: str | None) -> ModelDescription:
        await self._may_go()
        return ModelDescription(
            model=model, version=version or self.version, platform="", signatures={}
        )

    async def versions(self, model: str) -> tuple[VersionStatus, ...]:
        assert model
        await self._may_go()
        return (VersionStatus(version=self.version, state="AVAILABLE"),)

    async def aclose(self) -> None:
        await asyncio.sleep(0)
        self.closed = True

    async def _may_go(self) -> None:
        await asyncio.sleep(0)
        if self.go is not None:
            await self.go.wait()
        if self.error is not None:
            raise self.error


@dataclass
class Set:
    """Replicas `a`, `b`, … as one backend, and what was counted of them."""

    members: list[Replica]
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    metrics: ReplicaMetrics | None = None

    def __post_init__(self) -> None:
        addresses = dict(zip("abc", self.members, strict=False))
        rolls = iter([0.0, 0.99] * 10_000)  # both of two take part, in this order
        if self.metrics is None:
            self.metrics = ReplicaMetrics(self.registry)
        self.backend = Replicas("pt", addresses, self.metrics, draw=lambda: next(rolls))

    def count(self, name: str, replica: str, **labels: str) -> float:
        wanted = {"backend": "pt", "replica": replica, **labels}
        return self.registry.get_sample_value(f"tandem_replica_{name}", wanted) or 0.0


def run(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(story())


def away() -> BackendUnavailable:
    return BackendUnavailable("gone")


def test_batches_go_to_the_less_busy_of_two() -> None:
    """While the first is at work, the second is asked."""

    async def story() -> None:
        busy, free = Replica(go=asyncio.Event()), Replica()
        both = Set([busy, free])
        async with asyncio.TaskGroup() as group:
            first = group.create_task(both.backend.infer(BATCH, FAR))
            await busy.seen.wait()
            assert both.count("pending_batches", "a") == 1
            await both.backend.infer(BATCH, FAR)
            await both.backend.infer(BATCH, FAR)
            assert (busy.asked, free.asked) == (1, 2)
            assert busy.go is not None
            busy.go.set()
        assert first.result().version == "1"
        assert both.count("pending_batches", "a") == 0
        assert both.count("batches_total", "b", reason="ok") == 2

    run(story)


def test_a_replica_that_cannot_be_reached_is_left_alone() -> None:
    """After a few failures, which no caller sees: the other replica answers them."""

    async def story() -> None:
        dead, well = Replica(error=away()), Replica()
        both = Set([dead, well])
        for _ in range(MAX_FAILURES + 5):
            await both.backend.infer(BATCH, FAR)
        assert (dead.asked, well.asked) == (MAX_FAILURES, MAX_FAILURES + 5)
        assert both.count("batches_total", "a", reason="backend_unavailable") == MAX_FAILURES
        assert both.count("batches_total", "b", reason="ok") == MAX_FAILURES + 5
        assert both.count("in", "a") == 0
        assert both.count("in", "b") == 1
        assert both.count("ejections_total", "a", why="unreachable") == 1

    run(story)


@pytest.mark.parametrize("error", [BackendBusy("full"), BackendTimeout("late")])
def test_a_busy_or_late_replica_stays(error: GatewayError) -> None:
    """An overload must not put one after the other out, nor must callers with little patience."""

    async def story() -> None:
        both = Set([Replica(error=error), Replica()])
        for _ in range(3 * MAX_FAILURES):
            with pytest.raises(type(error)):
                await both.backend.infer(BATCH, FAR)
        assert both.count("in", "a") == 1

    run(story)


def test_a_cancelled_caller_says_nothing_of_the_replica() -> None:
    """And is no longer pending."""

    async def story() -> None:
        slow = Replica(go=asyncio.Event())
        both = Set([slow, Replica()])
        async with asyncio.TaskGroup() as group:
            call = group.create_task(both.backend.infer(BATCH, FAR))
            await slow.seen.wait()
            call.cancel()
        assert both.count("pending_batches", "a") == 0
        assert both.count("batches_total", "a", reason="caller_left") == 1
        assert both.count("in", "a") == 1

    run(story)


def test_describing_probes_every_replica() -> None:
    """One that cannot describe the model is out until it can."""

    async def story() -> None:
        starting, well = Replica(error=away()), Replica()
        both = Set([starting, well])
        assert (await both.backend.describe("iris", None)).version == "1"
        assert both.count("in", "a") == 0
        assert both.count("ejections_total", "a", why="probe") == 1
        await both.backend.infer(BATCH, FAR)
        assert (starting.asked, well.asked) == (0, 1)
        starting.error = None
        await both.backend.describe("iris", None)
        assert both.count("in", "a") == 1
        await both.backend.infer(BATCH, FAR)
        assert starting.asked == 1

    run(story)


def test_while_a_version_is_rolled_out_the_majority_is_asked() -> None:
    """Whoever has another version, or does not have the model, gets none of its batches."""

    async def story() -> None:
        old, new, without = Replica("1"), Replica("2"), Replica(error=UnknownModel("not here"))
        every = Set([old, new, without])
        assert (await every.backend.describe("iris", None)).version == "2"  # a tie: the newer
        for _ in range(4):
            assert (await every.backend.infer(BATCH, FAR)).version == "2"
        assert every.count("in", "c") == 1  # it answers, and may serve other models
        without.error, without.version = None, "1"
        assert (await every.backend.describe("iris", None)).version == "1"
        for _ in range(4):
            assert (await every.backend.infer(BATCH, FAR)).version == "1"

    run(story)


def test_when_all_are_out_all_are_asked() -> None:
    """A guess that may be wrong is better than a refusal that is certain."""

    async def story() -> None:
        both = Set([Replica(error=away()), Replica(error=away())])
        with pytest.raises(BackendUnavailable):
            await both.backend.describe("iris", None)
        with pytest.raises(BackendUnavailable):
            await both.backend.versions("iris")
        both.members[0].error = None
        assert (await both.backend.infer(BATCH, FAR)).version == "1"

    run(story)


def test_a_model_that_no_replica_has_is_unknown() -> None:
    """Even where another replica cannot be asked."""

    async def story() -> None:
        both = Set([Replica(error=away()), Replica(error=UnknownModel("not here"))])
        with pytest.raises(UnknownModel):
            await both.backend.describe("iris", None)

    run(story)


def test_versions_are_those_of_the_first_that_can_say() -> None:
    """A model that it does not know is an answer."""

    async def story() -> None:
        both = Set([Replica(error=away()), Replica("7")])
        (status,) = await both.backend.versions("iris")
        assert status.version == "7"
        both.members[1].error = UnknownModel("not here")
        with pytest.raises(UnknownModel):
            await both.backend.versions("iris")

    run(story)


def test_closing_closes_all_and_forgets_their_metrics() -> None:
    async def story() -> None:
        both = Set([Replica(), Replica()])
        await both.backend.infer(BATCH, FAR)
        await both.backend.aclose()
        assert all(replica.closed for replica in both.members)
        assert not [s for family in both.registry.collect() for s in family.samples]
        assert repr(both.backend) == "Replicas('pt', ['a', 'b'])"

    run(story)


def test_a_backend_that_was_made_anew_keeps_its_replicas_metrics() -> None:
    """On a reload the new one is there before the old one is closed."""

    async def story() -> None:
        before = Set([Replica(), Replica()])
        after = Set([Replica(), Replica()], before.registry, before.metrics)
        await after.backend.infer(BATCH, FAR)
        await before.backend.aclose()
        assert after.count("in", "a") == 1
        assert after.count("batches_total", "a", reason="ok") == 1

    run(story)
