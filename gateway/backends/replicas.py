"""How do several addresses become one backend?

    infer      one replica: the less busy of two that are in; where that one cannot be reached, once
               another, within the deadline. So is a question about examples
    describe   every replica that is asked is also probed: what it answers says whether it serves the
               model. The gateway asks again every few seconds, sooner while something is not ready, so
               this is the readiness probe, per model, and needs no task of its own
    versions   the first replica that says
    reload     every replica, all at once; all must take it

Predictions change nothing at a backend, so one whose answer was lost may be asked for again. Not a third
time: a batch that kills whoever reads it takes two replicas with it, and leaves the others alone.

While a new version is rolled out the replicas differ. The version that most of them describe is the one
described; the others take none of the model's batches until they agree.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from gateway.backends.standing import Standing, choose, eligible
from gateway.backends.taken import all_taken
from gateway.codecs.named_model import model_named
from gateway.codecs.oip_model import newest_first
from gateway.errors import BackendTimeout, BackendUnavailable, GatewayError, UnknownModel
from gateway.messages import (
    Deadline,
    ExampleMethod,
    InferRequest,
    InferResponse,
    ModelDescription,
    Trace,
    VersionStatus,
)
from gateway.ports import Backend, ExampleBackend, Reloadable
from gateway.telemetry.replicas import ReplicaMetrics

__all__ = ["ExampleReplicas", "Replicas", "agreed"]

_T = TypeVar("_T")

# Well within the time that a reconciler gives to one question: one replica that hangs delays it no longer.
_PROBE_TIMEOUT_S = 2.0


class Replicas:
    """A backend with several addresses.

    Attributes:
        name: The backend's name in the configuration.
    """

    # Invariants: `_pending[i]` is how many batches are at replica i; `_lacking[model]` are the replicas
    # that do not serve what was last described of the model; one index means one replica everywhere.

    def __init__(
        self,
        name: str,
        replicas: Mapping[str, Backend],
        metrics: ReplicaMetrics,
        *,
        draw: Callable[[], float],
    ) -> None:
        self.name = name
        self._addresses = tuple(replicas)
        self._replicas = tuple(replicas.values())
        self._standings = [Standing() for _ in self._replicas]
        self._pending = [0 for _ in self._replicas]
        self._lacking: dict[str, frozenset[int]] = {}
        self._metrics = metrics
        self._draw = draw
        for index in range(len(self._replicas)):
            self._show(index)

    def __repr__(self) -> str:
        return f"Replicas({self.name!r}, {list(self._addresses)})"

    async def infer(self, batch: InferRequest, deadline: Deadline) -> InferResponse:
        """Send one batch to one replica, or to another after it; see `ports.Backend.infer` for what is raised."""
        if batch.as_is:  # it may be the end of whom it is sent to
            index = self._choose(batch.model)
            return await self._booked(index, self._replicas[index].infer(batch, deadline))
        return await self._ask(
            batch.model, deadline, lambda index: self._replicas[index].infer(batch, deadline)
        )

    async def describe(self, model: str, version: str | None) -> ModelDescription:
        """What most replicas say; each that cannot answer is put out until it can.

        Raises:
            UnknownModel: those that answered do not serve that model or version.
            BackendError: none could say.
        """
        async with asyncio.TaskGroup() as group:
            asked = [
                group.create_task(self._probe(index, model, version))
                for index in range(len(self._replicas))
            ]
        answers = [task.result() for task in asked]
        description, lacking = agreed(answers)
        self._lacking[model] = lacking
        return description

    async def versions(self, model: str) -> tuple[VersionStatus, ...]:
        """What the first replica that is in and can say knows.

        Raises:
            UnknownModel: it does not serve that model.
            BackendError: none could say.
        """
        error: GatewayError | None = None
        for index in eligible(self._standings, self._now()):
            try:
                return await self._replicas[index].versions(model)
            except UnknownModel:
                raise
            except GatewayError as caught:
                error = caught
        assert error is not None, "at least one replica is eligible"
        raise error

    async def aclose(self) -> None:
        """Close the connections; calls still in flight fail."""
        for address, replica in zip(self._addresses, self._replicas, strict=True):
            await replica.aclose()
            self._metrics.forget(self.name, address, owner=self)

    async def _ask(
        self, model: str, deadline: Deadline, call: Callable[[int], Awaitable[_T]]
    ) -> _T:
        """What one replica answers; where it cannot be reached, what one other does."""
        first = self._choose(model)
        try:
            return await self._booked(first, call(first))
        except BackendUnavailable:
            second = self._other(model, first)
            if second is None or self._now() >= deadline.at:
                raise
        return await self._booked(second, call(second))

    async def _booked(self, index: int, call: Awaitable[_T]) -> _T:
        """The answer to a call of a replica, with what it says of the replica."""
        self._pending[index] += 1
        reason = "internal"
        try:
            response = await call
            reason = "ok"
        except BackendUnavailable as error:
            reason = error.reason
            self._stand(index, self._standings[index].after_failure(self._now()), "unreachable")
            raise
        except GatewayError as error:
            reason = error.reason
            # No sign of life, but no proof of death either: a caller with little patience looks the same.
            if not isinstance(error, BackendTimeout):
                self._stand(index, self._standings[index].after_answer(), "unreachable")
            raise
        except asyncio.CancelledError:
            reason = "caller_left"
            raise
        finally:
            self._pending[index] -= 1
            self._metrics.batches.labels(*self._labels(index), reason).inc()
        self._stand(index, self._standings[index].after_answer(), "unreachable")
        return response

    def _choose(self, model: str) -> int:
        candidates = eligible(self._standings, self._now())
        lacking = self._lacking.get(model, frozenset())
        serving = [index for index in candidates if index not in lacking]
        return choose(serving or candidates, self._pending, (self._draw(), self._draw()))

    def _other(self, model: str, tried: int) -> int | None:
        """Another replica that serves the model, one that is out if need be; None where there is none."""
        lacking = self._lacking.get(model, frozenset())
        others = {*range(len(self._replicas))} - lacking - {tried}
        if not others:
            return None
        inside = [index for index in eligible(self._standings, self._now()) if index in others]
        candidates = inside or sorted(others)
        return choose(candidates, self._pending, (self._draw(), self._draw()))

    async def _probe(
        self, index: int, model: str, version: str | None
    ) -> ModelDescription | GatewayError:
        answer: ModelDescription | GatewayError
        try:
            async with asyncio.timeout(_PROBE_TIMEOUT_S):
                answer = await self._replicas[index].describe(model, version)
        except GatewayError as error:
            answer = error
        except TimeoutError:
            where = f"backend {self.name} at {self._addresses[index]}"
            answer = BackendTimeout(f"{where} did not answer in {_PROBE_TIMEOUT_S:g} s")
        ready = isinstance(answer, ModelDescription | UnknownModel)
        self._stand(index, self._standings[index].after_probe(ready=ready), "probe")
        return answer

    def _stand(self, index: int, standing: Standing, why: str) -> None:
        """Keep what we now hold of a replica, and count it if that puts it out."""
        before = self._standings[index]
        self._standings[index] = standing
        if standing.awaits_probe and not before.awaits_probe:
            self._metrics.ejections.labels(*self._labels(index), why).inc()

    def _show(self, index: int) -> None:
        clock = asyncio.get_running_loop().time
        self._metrics.watch(
            self.name,
            self._addresses[index],
            owner=self,
            pending=lambda: self._pending[index],
            is_in=lambda: self._standings[index].is_in(clock()),
        )

    def _labels(self, index: int) -> tuple[str, str]:
        return self.name, self._addresses[index]

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


class ExampleReplicas(Replicas):
    """Replicas that all answer questions about examples, and all take other models while they run."""

    async def ask(
        self,
        method: ExampleMethod,
        data: bytes,
        deadline: Deadline,
        *,
        trace: Trace | None = None,
    ) -> bytes:
        """Put one question to one replica; see `ports.ExampleBackend.ask` for what is raised."""

        def call(index: int) -> Awaitable[bytes]:
            replica = self._replicas[index]
            assert isinstance(replica, ExampleBackend), "else these are plain replicas"
            return replica.ask(method, data, deadline, trace=trace)

        return await self._ask(model_named(data, self._lacking), deadline, call)

    async def reload(self, data: bytes, deadline: Deadline, *, trace: Trace | None = None) -> bytes:
        """Send every replica another configuration; see `all_taken` for what comes of it."""

        async def told(replica: Backend) -> bytes | GatewayError:
            assert isinstance(replica, Reloadable), "else these are plain replicas"
            try:
                return await replica.reload(data, deadline, trace=trace)
            except GatewayError as error:
                return error

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(told(replica)) for replica in self._replicas]
        return all_taken(dict(zip(self._addresses, [task.result() for task in tasks], strict=True)))


def agreed(
    answers: Sequence[ModelDescription | GatewayError],
) -> tuple[ModelDescription, frozenset[int]]:
    """The description that most replicas give, and which replicas lack it; pure.

    Of two that as many give, the newer version. Which replica cannot answer now is not held against it
    here: it is out anyway, and will have the model when it is back.

    Raises:
        UnknownModel: those that answered do not have the model.
        BackendError: none answered.
    """
    described = {i: a for i, a in enumerate(answers) if isinstance(a, ModelDescription)}
    if not described:
        errors = [answer for answer in answers if isinstance(answer, GatewayError)]
        raise next((error for error in errors if isinstance(error, UnknownModel)), errors[0])
    votes = Counter(answer.version for answer in described.values())
    most = max(votes.values())
    version = newest_first(version for version, count in votes.items() if count == most)[0]
    lacking = {i for i, answer in described.items() if answer.version != version}
    lacking |= {i for i, answer in enumerate(answers) if isinstance(answer, UnknownModel)}
    chosen = next(answer for answer in described.values() if answer.version == version)
    return chosen, frozenset(lacking)
