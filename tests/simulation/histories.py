"""Made-up histories of an arm, and a simulation that looks over the plan's shoulder while one happens."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

from hypothesis import strategies as st

from gateway.batching import BatchKey, BatchLimits
from gateway.batching.entry import HIGH, LOW, NORMAL, Batch, Entry
from gateway.simulation.arrivals import OpenLoop
from gateway.simulation.backend import Backend
from gateway.simulation.curve import LatencyCurve, Point
from gateway.simulation.faults import Faults, FaultySimulation
from gateway.simulation.requests import Arrival, Ended, Request

KEYS = [BatchKey(name, "", (), (), (), batchable=name != "alone") for name in ("a", "b", "alone")]
CURVE = LatencyCurve([Point(1, 0.75), Point(8, 2.5)])

LIMITS = st.builds(
    BatchLimits,
    max_batch_rows=st.integers(1, 6),
    max_delay_s=st.sampled_from([0.0, 1.0, 3.0]),
    max_queued_rows=st.integers(6, 24),
    max_in_flight=st.integers(1, 3),
    min_in_flight=st.sampled_from([None, None, 1]),
)
# A coarse grid, so that what can coincide does.
_MOMENTS = st.integers(0, 40).map(lambda quarter: quarter / 4)
_FAULTS = st.builds(
    Faults,
    failing=st.frozensets(st.integers(0, 12), max_size=2),
    stalls=st.lists(st.tuples(_MOMENTS, st.sampled_from([0.5, 4.0])), max_size=2),
    reloads=st.dictionaries(_MOMENTS, LIMITS, max_size=2),
    closes_at=st.one_of(st.just(math.inf), _MOMENTS),
)


@dataclass(frozen=True)
class History:
    """Who comes, what goes wrong, and who computes."""

    arrivals: list[Arrival]
    limits: BatchLimits
    faults: Faults
    replicas: int


@st.composite
def _arrivals(draw: st.DrawFn) -> list[Arrival]:
    arrivals: list[Arrival] = []
    at = 0.0
    for _ in range(draw(st.integers(1, 30))):
        at += draw(st.sampled_from([0.0, 0.0, 0.25, 0.5, 1.0, 3.0]))
        stays_s = draw(st.sampled_from([math.inf, math.inf, math.inf, 0.0, 0.5, 2.0]))
        arrivals.append(
            Arrival(
                at=at,
                rows=draw(st.integers(0, 9)),
                deadline=at + draw(st.sampled_from([0.5, 1.75, 4.0, math.inf, math.inf])),
                key=draw(st.sampled_from(KEYS)),
                priority=draw(st.sampled_from([HIGH, NORMAL, NORMAL, LOW])),
                leaves_at=at + stays_s,
                is_poison=draw(st.integers(0, 9)) == 0,
            )
        )
    return arrivals


HISTORIES = st.builds(
    History, arrivals=_arrivals(), limits=LIMITS, faults=_FAULTS, replicas=st.integers(1, 3)
)


@dataclass
class Watched(FaultySimulation):
    """Keeps what left, and holds what must hold at every moment."""

    history: History
    ended: list[Ended] = field(default_factory=list)
    sent: dict[tuple[int, BatchKey, int], list[int]] = field(
        default_factory=lambda: defaultdict(list)
    )
    in_flight_limits: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))

    def __post_init__(self) -> None:
        backend = Backend(CURVE.at, self.history.replicas, Random(1))
        super().__init__(self.history.limits, backend, self.history.faults)
        self.limits_of = {self.generations.plans[0]: self.history.limits}
        self._seen: set[int] = set()

    def happen(self) -> list[Ended]:
        """Let all of it happen."""
        self.ended = self.run(OpenLoop(iter(self.history.arrivals)))
        return self.ended

    def _reload(self, limits: BatchLimits) -> None:
        super()._reload(limits)
        self.limits_of[self.generations.plans[-1]] = limits

    def _launch(self, batch: Batch[Request]) -> None:
        plan = self.generations._plan_of[batch]
        limits = self.limits_of[plan]
        assert plan.slots.in_flight <= limits.max_in_flight, "slots exceeded"
        assert len({entry.key for entry in batch.entries}) == 1, "keys mixed"
        rows = sum(entry.rows for entry in batch.entries)
        assert rows <= limits.max_batch_rows or not batch.entries[0].key.batchable, "too large"
        for entry in batch.entries:
            assert entry.deadline > self.now, "sent after its deadline"
            assert entry.id in entry.slot.waiting, "sent after its end"
        self._check_order(batch.entries)
        number = list(self.limits_of).index(plan)
        self.in_flight_limits[number].add(plan.in_flight.limit)
        for entry in self._first_time(batch.entries):
            self.sent[number, batch.key, entry.priority].append(entry.id)
        super()._launch(batch)

    def _check_order(self, entries: list[Entry[Request]]) -> None:
        """Within a batch and a priority the sooner deadline goes first, among equals who came first."""
        for priority in (HIGH, NORMAL, LOW):
            fresh = [
                (entry.deadline, entry.id)
                for entry in entries
                if entry.priority == priority
                and entry.id not in self._seen
                and not entry.travels_alone
            ]
            assert fresh == sorted(fresh), "a later deadline went before a sooner one"

    def _first_time(self, entries: list[Entry[Request]]) -> Iterator[Entry[Request]]:
        """Those that could join others and never expire; halves went before, and go first."""
        for entry in entries:
            if (
                entry.id not in self._seen
                and entry.deadline == math.inf
                and not entry.travels_alone
            ):
                yield entry
            self._seen.add(entry.id)

    def _advance(self) -> None:
        super()._advance()
        plan = self.generations.plans[-1]
        waits = self.limits_of[plan].max_delay_s and self.now < self._faults.closes_at
        if not waits and plan.slots.has_room:
            assert not plan.queued_requests, "a slot is free and somebody waits"
