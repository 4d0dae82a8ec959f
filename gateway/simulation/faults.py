"""What if callers leave, batches fail, the backend stalls, or the arm is reloaded and closed meanwhile?

A `Simulation` of the plan that serves in which all of that happens, when the history says so. A batch with
poison in it is refused and queued again in halves, within a budget, as `batching.dispatch` does it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from gateway.batching.entry import Batch, Entry
from gateway.batching.limits import BatchLimits
from gateway.batching.plan import Plan
from gateway.batching.retries import RetryBudget
from gateway.simulation.backend import Backend
from gateway.simulation.driver import Simulation
from gateway.simulation.requests import Arrival, Outcome, Request

__all__ = ["Faults", "FaultySimulation", "Generations"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What goes wrong, besides poison and leavers, which are the arrivals' own.

    Attributes:
        failing: Numbers of batches, from 0 in the order they are sent, that the backend loses.
        stalls: When the backend stops for how many seconds.
        reloads: When an arm gets these limits; what it had accepted runs by the old ones.
        closes_at: When the arm takes no more requests.
    """

    failing: frozenset[int] = frozenset()
    stalls: Sequence[tuple[float, float]] = ()
    reloads: Mapping[float, BatchLimits] = field(default_factory=dict)
    closes_at: float = math.inf


class Generations:
    """The plan of an arm, and those of the same arm before a reload that are not empty yet.

    The newest takes what comes; all of them send. Each has slots of its own, as in the gateway.
    """

    def __init__(self, limits: BatchLimits) -> None:
        self.plans: list[Plan[Request]] = [Plan(limits)]
        self._plan_of: dict[Batch[Request], Plan[Request]] = {}

    def reload(self, limits: BatchLimits) -> None:
        """From now on these limits hold for newcomers."""
        self.hurry()
        self.plans = [plan for plan in self.plans if not plan.is_idle or plan.wake_at() is not None]
        self.plans.append(Plan(limits))

    def hurry(self) -> None:
        """Wait for no more company."""
        self.plans[-1].hurry()

    def offer(self, *entries: Entry[Request]) -> None:
        """See `Plan`."""
        self.plans[-1].offer(*entries)

    def cancel(self, entry_id: int) -> bool:
        """See `Plan`."""
        return sum(plan.cancel(entry_id) for plan in self.plans) == 1

    def expire(self, now: float) -> list[Entry[Request]]:
        """See `Plan`."""
        return [entry for plan in self.plans for entry in plan.expire(now)]

    def take(self, now: float) -> Batch[Request] | None:
        """See `Plan`."""
        for plan in self.plans:
            batch = plan.take(now)
            if batch is not None:
                self._plan_of[batch] = plan
                return batch
        return None

    def finish(self, batch: Batch[Request], backend_s: float | None) -> None:
        """See `Plan`."""
        self._plan_of.pop(batch).finish(batch, backend_s)

    def give_up(self, batch: Batch[Request], now: float) -> None:
        """See `Plan`."""
        self._plan_of.pop(batch).give_up(batch, now)

    def halve(self, batch: Batch[Request]) -> None:
        """See `Plan`."""
        self._plan_of.pop(batch).halve(batch)

    def still_waiting(self, batch: Batch[Request]) -> list[Entry[Request]]:
        """See `Plan`."""
        return self._plan_of[batch].still_waiting(batch)

    def wake_at(self) -> float | None:
        """See `Plan`."""
        moments = [plan.wake_at() for plan in self.plans]
        return min((moment for moment in moments if moment is not None), default=None)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is queued or in flight in any of them."""
        return all(plan.is_idle for plan in self.plans)


class FaultySimulation(Simulation[Batch[Request]]):
    """As `Simulation`, with `faults`, and arrivals that leave or are poison."""

    def __init__(self, limits: BatchLimits, backend: Backend, faults: Faults) -> None:
        self.generations = Generations(limits)
        super().__init__(self.generations, backend, max_batch_rows=limits.max_batch_rows)
        self._failing: set[Batch[Request]] = set()
        self._faults = faults
        self._retries = RetryBudget()
        for when, seconds in faults.stalls:
            self.at(when, partial(backend.stall, when + seconds))
        for when, changed in faults.reloads.items():
            self.at(when, partial(self._reload, changed))
        if faults.closes_at < math.inf:
            self.at(faults.closes_at, self.generations.hurry)

    def _reload(self, limits: BatchLimits) -> None:
        self.generations.reload(limits)
        self._max_batch_rows = limits.max_batch_rows

    def _arrive(self, arrival: Arrival) -> None:
        if self.now >= self._faults.closes_at:
            self._refuse(Request(arrival))
            return
        super()._arrive(arrival)

    def _accept(self, request: Request, entries: list[Entry[Request]]) -> None:
        super()._accept(request, entries)
        if request.arrival.leaves_at < math.inf:
            self.at(request.arrival.leaves_at, partial(self._leave, request, "left"))

    def _leave(self, request: Request, outcome: Outcome) -> None:
        """Whatever of it has not ended, ends so."""
        for entry in list(request.waiting.values()):
            assert self.generations.cancel(entry.id), "the plan knows who waits"
            self._end_piece(entry, outcome)
            self._give_up_if_last(entry)

    def _launch(self, batch: Batch[Request]) -> None:
        if len(self.batches) in self._faults.failing:
            self._failing.add(batch)
        super()._launch(batch)

    def _land(self, batch: Batch[Request]) -> None:
        if batch not in self._flights:
            return
        waiting = self._waiting(batch)
        told = {entry.id for entry in self.generations.still_waiting(batch)}
        assert told == {entry.id for entry in waiting}, "the plan knows who waits"
        is_refused = any(entry.slot.arrival.is_poison for entry in batch.entries)
        is_lost = batch in self._failing or (is_refused and len(batch.entries) == 1)
        if not is_refused and not is_lost:
            self._retries.note_answer(len(batch.entries))
            super()._land(batch)
        elif not is_lost and self._retries.spend():
            del self._flights[batch]
            self.generations.halve(batch)
        else:
            self._finish(batch, None)
            self._fail(waiting)

    def _fail(self, entries: list[Entry[Request]]) -> None:
        """A request of which one piece fails, fails, and its other pieces are forgotten."""
        self._end_all(entries, "failed")
        for entry in entries:
            self._leave(entry.slot, "failed")
