"""How do several addresses become one backend?

    infer      one replica: the less busy of two that are in; where that one cannot be reached, once
               another, within the deadline. So is a question about examples (`example_replicas`).
               With hedging, another is asked too where that one takes longer than most: the first
               answer counts
    describe   every replica that is asked is also probed: what it answers says whether it serves the
               model. The gateway asks again every few seconds, sooner while something is not ready, so
               this is the readiness probe, per model, and needs no task of its own
    versions   the first replica that says

Predictions change nothing at a backend, so one whose answer was lost, or is late, may be asked for again. Not
a third time: a batch that kills whoever reads it takes two replicas with it, and leaves the others alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, TypeVar

from gateway.backends.agreement import agreed
from gateway.backends.hedging import Hedging, size_of
from gateway.backends.race import Race
from gateway.backends.standing import Standing, choose, eligible
from gateway.errors import BackendTimeout, BackendUnavailable, GatewayError, UnknownModel
from gateway.messages import (
    Deadline,
    InferRequest,
    InferResponse,
    ModelDescription,
    VersionStatus,
)
from gateway.ports import Backend
from gateway.telemetry.replicas import ReplicaMetrics

__all__ = ["Replicas"]

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
        hedging: Hedging | None = None,
    ) -> None:
        self.name = name
        self._addresses = tuple(replicas)
        self._replicas = tuple(replicas.values())
        self._standings = [Standing() for _ in self._replicas]
        self._pending = [0 for _ in self._replicas]
        self._lacking: dict[str, frozenset[int]] = {}
        self._metrics = metrics
        self._draw = draw
        self._hedging = hedging
        for index in range(len(self._replicas)):
            self._show(index)

    def __repr__(self) -> str:
        return f"Replicas({self.name!r}, {list(self._addresses)})"

    async def infer(self, batch: InferRequest, deadline: Deadline) -> InferResponse:
        """Send one batch to one replica, or to another after it; see `ports.Backend.infer` for what is raised."""
        if batch.as_is:  # it may be the end of whom it is sent to
            index = self._choose(batch.model)
            return await self._booked(index, self._replicas[index].infer(batch, deadline))
        if self._hedging is not None:
            return await self._hedged(self._hedging, batch, deadline)
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
            second = self._other(model, first, deadline)
            if second is None:
                raise
        return await self._booked(second, call(second))

    async def _hedged(
        self, hedging: Hedging, batch: InferRequest, deadline: Deadline
    ) -> InferResponse:
        """What one replica answers, or another where it takes long; two calls at most, as in `_ask`."""
        first, size = self._choose(batch.model), size_of(batch)
        race: Race[InferResponse] = Race()

        def send(index: int) -> Coroutine[Any, Any, InferResponse]:
            return self._booked(index, self._replicas[index].infer(batch, deadline), race)

        def hedge() -> Coroutine[Any, Any, InferResponse] | None:
            index = self._hedge(hedging, batch.model, first)
            return None if index is None else send(index)

        patience_s = hedging.start(size, now=self._now(), until=deadline.at)
        try:
            with self._reserved(first) as release:
                call = _after(release, lambda: send(first))
                return await race.run(call, hedge, patience_s=patience_s)
        except BackendUnavailable:
            second = None if race.has_rival else self._other(batch.model, first, deadline)
            if second is None:
                raise
        finally:
            if race.waited_s is not None:
                hedging.learn(size, race.waited_s, now=self._now())
            if race.has_rival:
                self._count_hedge(first, "won" if race.rival_won else "lost")
        return await send(second)

    @contextmanager
    def _reserved(self, index: int) -> Iterator[Callable[[], None]]:
        """Count a batch at a replica until it is released, so that whoever chooses before its task runs sees it."""
        self._pending[index] += 1
        counted = [index]

        def release() -> None:
            for one in counted:
                self._pending[one] -= 1
            counted.clear()

        try:
            yield release
        finally:
            release()

    def _hedge(self, hedging: Hedging, model: str, slow: int) -> int | None:
        """Who else is asked, now that a replica is slow; None for nobody."""
        others = self._others_in(model, slow)
        if not others:
            return None
        if not hedging.take():
            self._count_hedge(slow, "refused")
            return None
        return self._less_busy(others)

    async def _booked(self, index: int, call: Awaitable[_T], race: Race[_T] | None = None) -> _T:
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
            reason = "outrun" if race is not None and race.is_over else "caller_left"
            raise
        finally:
            self._pending[index] -= 1
            self._metrics.batches.labels(*self._labels(index), reason).inc()
        self._stand(index, self._standings[index].after_answer(), "unreachable")
        return response

    def _choose(self, model: str) -> int:
        candidates = eligible(self._standings, self._now())
        lacking = self._lacking.get(model, frozenset())
        return self._less_busy([i for i in candidates if i not in lacking] or candidates)

    def _other(self, model: str, tried: int, deadline: Deadline) -> int | None:
        """Another replica that serves the model, one that is out if need be; None if none, or too late."""
        if self._now() >= deadline.at:
            return None
        others = self._others_in(model, tried) or self._others(model, tried)
        return self._less_busy(others) if others else None

    def _others_in(self, model: str, tried: int) -> list[int]:
        now = self._now()
        return [i for i in self._others(model, tried) if self._standings[i].is_in(now)]

    def _others(self, model: str, tried: int) -> list[int]:
        lacking = self._lacking.get(model, frozenset())
        return [i for i in range(len(self._replicas)) if i not in lacking and i != tried]

    def _less_busy(self, candidates: Sequence[int]) -> int:
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

    def _count_hedge(self, index: int, outcome: Literal["won", "lost", "refused"]) -> None:
        self._metrics.hedges.labels(*self._labels(index), outcome).inc()

    def _labels(self, index: int) -> tuple[str, str]:
        return self.name, self._addresses[index]

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


async def _after(first: Callable[[], None], call: Callable[[], Awaitable[_T]]) -> _T:
    first()
    return await call()
