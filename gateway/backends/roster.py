"""What is known of each replica of a backend: does it take batches, what is at it, and what came of it?

A call that may be made elsewhere is ended when its replica is put out while another is in: a replica that
hangs keeps no batch until its deadline. Nothing is ended where nobody else is in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, TypeVar

from prometheus_client import Counter

from gateway.backends.race import Race
from gateway.backends.standing import Standing, choose, eligible
from gateway.errors import BackendTimeout, BackendUnavailable, GatewayError
from gateway.messages import Deadline
from gateway.telemetry.replicas import ReplicaMetrics

__all__ = ["Roster"]

_T = TypeVar("_T")


class _PutOut(BackendUnavailable):
    """The replica was put out while it had the batch."""


class Roster:
    """The replicas of one backend; one index means one replica everywhere.

    Attributes:
        name: The backend's, for errors.
        addresses: Of its replicas.
        pending: Per replica how many batches are at it.
        lacking: Per model the replicas that do not serve what was last described of it.
    """

    # Invariant: `_movable[i]` are the calls at replica i that may be made elsewhere, with their models; one
    # that is being ended for that is no longer among them.

    def __init__(
        self,
        name: str,
        addresses: Sequence[str],
        metrics: ReplicaMetrics,
        draw: Callable[[], float],
    ) -> None:
        self.name = name
        self.addresses = tuple(addresses)
        self.pending = [0 for _ in addresses]
        self.lacking: dict[str, frozenset[int]] = {}
        self._standings = [Standing() for _ in addresses]
        self._movable: list[dict[asyncio.Timeout, str]] = [{} for _ in addresses]
        self._counters: dict[tuple[int, str], Counter] = {}
        self._metrics = metrics
        self._draw = draw
        for index in range(len(addresses)):
            self._show(index)

    def choose(self, model: str) -> int:
        """Who takes the next batch of a model."""
        candidates = self.eligible()
        lacking = self.lacking.get(model, frozenset())
        return self.less_busy([i for i in candidates if i not in lacking] or candidates)

    def other(self, model: str, tried: int, deadline: Deadline) -> int | None:
        """Another replica that serves the model, one that is out if need be; None if none, or too late."""
        if self._now() >= deadline.at:
            return None
        others = self.others_in(model, tried) or self._others(model, tried)
        return self.less_busy(others) if others else None

    def others_in(self, model: str, tried: int) -> list[int]:
        """The other replicas that serve the model and are in."""
        now = self._now()
        return [i for i in self._others(model, tried) if self._standings[i].is_in(now)]

    def eligible(self) -> list[int]:
        """The replicas that take batches: those that are in, or all when none is."""
        return eligible(self._standings, self._now())

    def less_busy(self, candidates: Sequence[int]) -> int:
        """The less busy of two of them that are drawn at random."""
        return choose(candidates, self.pending, (self._draw(), self._draw()))

    async def booked(
        self,
        index: int,
        call: Awaitable[_T],
        race: Race[_T] | None = None,
        *,
        movable: str | None = None,
    ) -> _T:
        """The answer to a call of a replica, with what it says of the replica.

        Args:
            index: The replica's.
            call: Awaited once.
            race: In which it runs, if it does.
            movable: The model it asks for, if another replica may be asked in its place.

        Raises:
            GatewayError: the call's; `BackendUnavailable` too where the replica was put out meanwhile.
        """
        self.pending[index] += 1
        reason = "internal"
        try:
            response = await (call if movable is None else self._until_out(index, call, movable))
            reason = "ok"
        except _PutOut:
            reason = "failed_over"
            raise
        except BackendUnavailable as error:
            reason = error.reason
            self._stand(index, self._standings[index].after_failure(self._now()), "unreachable")
            self.move_on()
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
            self.pending[index] -= 1
            self._counter(index, reason).inc()
        self._stand(index, self._standings[index].after_answer(), "unreachable")
        return response

    async def _until_out(self, index: int, call: Awaitable[_T], model: str) -> _T:
        """The answer to a call, unless its replica is put out first and another can be asked."""
        movable = self._movable[index]
        try:
            async with asyncio.timeout(None) as stay:  # `move_on` sets the time, if anybody does
                movable[stay] = model
                try:
                    return await call
                finally:
                    movable.pop(stay, None)
        except TimeoutError as error:
            if not stay.expired():
                raise
            where = f"{model}: backend {self.name} at {self.addresses[index]}"
            raise _PutOut(f"{where} was put out while it had the batch") from error

    def move_on(self) -> None:
        """End the calls at replicas that are out whose models somebody serves who is in."""
        now = self._now()
        for index, movable in enumerate(self._movable):
            if not movable or self._standings[index].is_in(now):
                continue
            for stay, model in list(movable.items()):
                if self.others_in(model, index):
                    del movable[stay]
                    stay.reschedule(now)

    @contextmanager
    def reserved(self, index: int) -> Iterator[Callable[[], None]]:
        """Count a batch at a replica until it is released, so that whoever chooses before its task runs sees it."""
        self.pending[index] += 1
        counted = [index]

        def release() -> None:
            for one in counted:
                self.pending[one] -= 1
            counted.clear()

        try:
            yield release
        finally:
            release()

    def probed(self, index: int, *, ready: bool) -> None:
        """A replica was asked whether it is ready."""
        self._stand(index, self._standings[index].after_probe(ready=ready), "probe")

    def count_hedge(self, index: int, outcome: Literal["won", "lost", "refused"]) -> None:
        """A batch was long at a replica, and that came of it."""
        self._metrics.hedges.labels(*self._labels(index), outcome).inc()

    def forget(self, index: int) -> None:
        """Count nothing of a replica any more."""
        self._metrics.forget(self.name, self.addresses[index], owner=self)

    def _others(self, model: str, tried: int) -> list[int]:
        lacking = self.lacking.get(model, frozenset())
        return [i for i in range(len(self.addresses)) if i not in lacking and i != tried]

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
            self.addresses[index],
            owner=self,
            pending=lambda: self.pending[index],
            is_in=lambda: self._standings[index].is_in(clock()),
        )

    def _counter(self, index: int, reason: str) -> Counter:
        counter = self._counters.get((index, reason))
        if counter is None:
            counter = self._metrics.batches.labels(*self._labels(index), reason)
            self._counters[index, reason] = counter
        return counter

    def _labels(self, index: int) -> tuple[str, str]:
        return self.name, self.addresses[index]

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
