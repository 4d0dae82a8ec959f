"""The driver tells a scheduler that breaks its promises, and shares out time as the shell would."""

from __future__ import annotations

import math

import pytest

from gateway.batching import BatchLimits
from gateway.batching.entry import Entry
from gateway.batching.plan import Plan
from gateway.simulation.arrivals import OpenLoop
from gateway.simulation.backend import Backend
from gateway.simulation.driver import Simulation, Stranded
from gateway.simulation.requests import Arrival, Ended, Request


def simulate(
    plan: Plan[Request], arrivals: list[Arrival], *, seconds: float = 1.0, max_batch_rows: int = 4
) -> list[Ended]:
    backend = Backend(lambda _rows: seconds)
    simulation = Simulation(plan, backend, max_batch_rows=max_batch_rows)
    return simulation.run(OpenLoop(iter(arrivals)))


def test_a_batch_leaves_when_the_slot_frees_with_all_who_came_meanwhile() -> None:
    """The first alone, the next three together when it is answered."""
    arrivals = [Arrival(at=at) for at in (0.0, 0.25, 0.5, 0.75)]
    ended = simulate(Plan(BatchLimits(max_batch_rows=4)), arrivals)
    assert [(end.left_at, end.at) for end in ended] == [(0.0, 1.0)] + [(1.0, 2.0)] * 3


def test_a_request_larger_than_a_batch_is_answered_when_its_last_piece_is() -> None:
    """Nine rows in batches of four: three of them, one after another."""
    (ended,) = simulate(Plan(BatchLimits(max_batch_rows=4)), [Arrival(at=0.0, rows=9)])
    assert (ended.outcome, ended.at) == ("answered", 3.0)


def test_a_deadline_that_passes_in_flight_frees_the_slot() -> None:
    """The batch is called back, and the next one leaves then; the backend computes both."""
    arrivals = [Arrival(at=0.0, deadline=0.5), Arrival(at=0.25)]
    first, second = simulate(Plan(BatchLimits()), arrivals)
    assert (first.outcome, first.at) == ("expired", 0.5)
    assert (second.outcome, second.left_at, second.at) == ("answered", 0.5, 2.0)


def test_a_full_queue_refuses_at_once() -> None:
    """One in flight, two queued, and no room for a fourth."""
    ended = simulate(Plan(BatchLimits(max_queued_rows=2)), [Arrival(at=0.0)] * 4, seconds=math.pi)
    assert sorted(end.outcome for end in ended) == ["answered"] * 2 + ["refused"] * 2


class Forgetful(Plan[Request]):
    """Never wakes for what it holds."""

    def take(self, now: float) -> None:
        """Nothing ever leaves."""

    def wake_at(self) -> float | None:
        return None


class Fussy(Plan[Request]):
    """Wakes for nothing."""

    def take(self, now: float) -> None:
        """Nothing ever leaves."""

    def wake_at(self) -> float | None:
        return 0.0


class Repeating(Plan[Request]):
    """Tells twice that somebody waited too long."""

    def expire(self, now: float) -> list[Entry[Request]]:
        return super().expire(now) * 2


@pytest.mark.parametrize("broken", [Forgetful, Fussy])
def test_a_scheduler_that_leaves_somebody_waiting_is_found_out(broken: type[Plan[Request]]) -> None:
    """Instead of an end that looks like one, or none."""
    with pytest.raises(Stranded):
        simulate(broken(BatchLimits()), [Arrival(at=0.0)])


def test_a_scheduler_that_tells_twice_is_found_out() -> None:
    """A request ends once."""
    with pytest.raises(KeyError):
        simulate(Repeating(BatchLimits()), [Arrival(at=0.0, deadline=0.5)])
