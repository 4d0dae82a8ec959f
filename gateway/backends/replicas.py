"""How do several addresses become one backend?

    infer      one replica: the less busy of two that are in; where that one cannot be reached, or is put
               out meanwhile, once another, within the deadline. So is a question about examples
               (`example_replicas`). With hedging, another is asked too where that one takes longer than
               most: the first answer counts
    describe   every replica that is asked is also probed: what it answers says whether it serves the
               model. The gateway asks again every few seconds, sooner while something is not ready, so
               this is the readiness probe, per model, and needs no task of its own
    versions   the first replica that says

Predictions change nothing at a backend, but for steps of sequences, so one whose answer was lost, or is late, may be asked for again. Not
a third time: a batch that kills whoever reads it takes two replicas with it, and leaves the others alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, TypeVar

from gateway.backends.agreement import agreed
from gateway.backends.hedging import Hedging, size_of
from gateway.backends.race import Race
from gateway.backends.roster import Roster
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

# Less than half of the time that a reconciler gives to two questions: one replica that hangs ends neither.
_PROBE_TIMEOUT_S = 2.0


class Replicas:
    """A backend with several addresses.

    Attributes:
        name: The backend's name in the configuration.
    """

    # Invariant: one index means one replica everywhere.

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
        self._replicas = tuple(replicas.values())
        self._roster = Roster(name, tuple(replicas), metrics, draw)
        self._hedging = hedging

    def __repr__(self) -> str:
        return f"Replicas({self.name!r}, {list(self._roster.addresses)})"

    async def infer(self, batch: InferRequest, deadline: Deadline) -> InferResponse:
        """Send one batch to one replica, or to another after it; see `ports.Backend.infer` for what is raised."""
        if (
            not batch.is_repeatable
        ):  # it may be the end of whom it is sent to, or change a state there
            index = self._roster.choose(batch.model)
            return await self._roster.booked(index, self._replicas[index].infer(batch, deadline))
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
        self._roster.move_on()  # now that it is known who of all is in
        answers = [task.result() for task in asked]
        description, lacking = agreed(answers)
        self._roster.lacking[model] = lacking
        return description

    async def versions(self, model: str) -> tuple[VersionStatus, ...]:
        """What the first replica that is in and can say knows.

        Raises:
            UnknownModel: it does not serve that model.
            BackendError: none could say.
        """
        async with asyncio.TaskGroup() as group:
            asked = [
                group.create_task(self._told(index, self._replicas[index].versions(model)))
                for index in self._roster.eligible()
            ]
        answers = [task.result() for task in asked]
        for answer in answers:
            if isinstance(answer, UnknownModel):
                raise answer
            if not isinstance(answer, GatewayError):
                return answer
        raise next(answer for answer in answers if isinstance(answer, GatewayError))

    async def aclose(self) -> None:
        """Close the connections; calls still in flight fail."""
        for index, replica in enumerate(self._replicas):
            await replica.aclose()
            self._roster.forget(index)

    async def _ask(
        self, model: str, deadline: Deadline, call: Callable[[int], Awaitable[_T]]
    ) -> _T:
        """What one replica answers; where it cannot be reached, what one other does."""
        first = self._roster.choose(model)
        try:
            return await self._roster.booked(first, call(first), movable=model)
        except BackendUnavailable:
            second = self._roster.other(model, first, deadline)
            if second is None:
                raise
        return await self._roster.booked(second, call(second))

    async def _hedged(
        self, hedging: Hedging, batch: InferRequest, deadline: Deadline
    ) -> InferResponse:
        """What one replica answers, or another where it takes long; two calls at most, as in `_ask`."""
        first, size = self._roster.choose(batch.model), size_of(batch)
        race: Race[InferResponse] = Race()
        refused: list[int] = []

        def send(index: int, movable: str | None = None) -> Coroutine[Any, Any, InferResponse]:
            call = self._replicas[index].infer(batch, deadline)
            return self._roster.booked(index, call, race, movable=movable)

        def hedge() -> Coroutine[Any, Any, InferResponse] | None:
            index = self._hedge(hedging, batch.model, first, refused)
            return None if index is None else send(index)

        patience_s = hedging.start(size, now=_now(), until=deadline.at)
        try:
            with self._roster.reserved(first) as release:
                call = _after(release, lambda: send(first, batch.model))
                return await race.run(call, hedge, patience_s=patience_s)
        except BackendUnavailable:
            second = None if race.has_rival else self._roster.other(batch.model, first, deadline)
            if second is None:
                raise
        finally:
            if race.waited_s is not None:
                hedging.learn(size, race.waited_s, now=_now())
            if race.has_rival:
                self._roster.count_hedge(first, "won" if race.rival_won else "lost")
        return await send(second)

    def _hedge(self, hedging: Hedging, model: str, slow: int, refused: list[int]) -> int | None:
        """Who else is asked, now that a replica is slow; None for nobody, for now.

        A batch that the budget refused, it may refuse again; that is counted once, by `refused`.
        """
        others = self._roster.others_in(model, slow)
        if not others:
            return None
        if not hedging.take():
            if not refused:
                self._roster.count_hedge(slow, "refused")
                refused.append(slow)
            return None
        return self._roster.less_busy(others)

    async def _probe(
        self, index: int, model: str, version: str | None
    ) -> ModelDescription | GatewayError:
        answer = await self._told(index, self._replicas[index].describe(model, version))
        ready = isinstance(answer, ModelDescription | UnknownModel)
        self._roster.probed(index, ready=ready)
        return answer

    async def _told(self, index: int, call: Awaitable[_T]) -> _T | GatewayError:
        """What a replica says, or why it does not."""
        try:
            async with asyncio.timeout(_PROBE_TIMEOUT_S):
                return await call
        except GatewayError as error:
            return error
        except TimeoutError:
            where = f"backend {self.name} at {self._roster.addresses[index]}"
            return BackendTimeout(f"{where} did not answer in {_PROBE_TIMEOUT_S:g} s")


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _after(first: Callable[[], None], call: Callable[[], Awaitable[_T]]) -> _T:
    first()
    return await call()
