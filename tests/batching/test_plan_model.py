"""Plan against a naive model: a list that is searched from end to end.

Checked after every step: what leaves, with whom and why; what expires, and what is too late; that each request
ends exactly once; the bounds; and `wake_at` both ways: something is due then, and nothing is due before.
"""

from __future__ import annotations

import math
from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from gateway.batching import BatchKey, BatchLimits
from gateway.batching.admission import MARGIN_RATIO
from gateway.batching.entry import HIGH, LOW, NORMAL, Batch, Entry
from gateway.batching.plan import Plan
from gateway.errors import DeadlineTooNear, QueueFull, WouldBeLate
from tests.batching.naive_plan import NaivePlan, Waiting

_KEYS = [BatchKey(name, "", (), (), (), batchable=name != "alone") for name in ("a", "b", "alone")]


class PlanMachine(RuleBasedStateMachine):
    """Offers, leaves, takes, finishes, halves, and lets time pass, in any order."""

    @initialize(
        limits=st.builds(
            BatchLimits,
            max_batch_rows=st.integers(1, 6),
            max_delay_s=st.sampled_from([0.0, 1.0, 3.0]),
            max_queued_rows=st.integers(4, 24),
            max_in_flight=st.integers(1, 3),
        )
    )
    def start(self, limits: BatchLimits) -> None:
        self.plan: Plan[str] = Plan(limits)
        self.model = NaivePlan(limits, self.plan)
        self.now = 0.0
        self.ids = 0
        self.flights: list[tuple[Batch[str], list[Waiting]]] = []
        self.overdue: list[Waiting] = []  # ended, and not told of yet
        self.accepted: set[int] = set()
        self.ended: list[int] = []

    @rule(
        key=st.sampled_from(_KEYS),
        all_rows=st.lists(st.integers(0, 6), min_size=1, max_size=3),
        timeout_s=st.sampled_from([0.5, 1.0, 2.0, 5.0, 20.0]),
        priority=st.sampled_from([HIGH, NORMAL, NORMAL, NORMAL, LOW]),
    )
    def offer(self, key: BatchKey, all_rows: list[int], timeout_s: float, priority: int) -> None:
        pieces = [self._waiting(key, rows, timeout_s, priority) for rows in all_rows]
        entries = [
            Entry(
                id=w.id,
                key=key,
                rows=w.rows,
                arrived=self.now,
                deadline=w.deadline,
                priority=priority,
                slot=f"#{w.id}",
            )
            for w in pieces
        ]
        rows = sum(w.weight for w in [*self.model.queue, *pieces])
        try:
            self.plan.offer(*entries)
        except (DeadlineTooNear, WouldBeLate):
            batches = 2 + len({w.group for w in self.model.queue})
            batches += rows // self.model.limits.max_batch_rows
            assert MARGIN_RATIO * timeout_s < batches * self.plan.slots.slowest_s < math.inf
        except QueueFull:
            assert rows > self.model.limits.max_queued_rows
        else:
            assert rows <= self.model.limits.max_queued_rows
            self.model.queue += pieces
            self.accepted |= {w.id for w in pieces}

    def _waiting(self, key: BatchKey, rows: int, timeout_s: float, priority: int) -> Waiting:
        rows = min(rows, self.model.limits.max_batch_rows)
        is_closed = rows == 0 or not key.batchable
        self.ids += 1
        return Waiting(
            id=self.ids,
            key=key,
            rows=rows,
            deadline=self.now + timeout_s,
            priority=priority,
            group=("closed", self.ids) if is_closed else key,
            is_closed=is_closed,
        )

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        """Anybody may leave at any time, also those who are gone already."""
        entry_id = data.draw(st.integers(0, self.ids + 1))
        known = [w for w in self._known() if w.id == entry_id]
        assert self.plan.cancel(entry_id) == bool(known)
        for waiting in known:
            self._forget(waiting)
            self.ended.append(waiting.id)

    @rule()
    def take(self) -> None:
        self._take()

    @rule()
    def expire(self) -> None:
        self._expire()

    @precondition(lambda self: self.flights)
    @rule(data=st.data(), backend_s=st.sampled_from([None, 0.0, 0.25, 1.0]))
    def finish(self, data: st.DataObject, backend_s: float | None) -> None:
        batch, waiting = self._land(data)
        self.plan.finish(batch, backend_s, self.now)
        self.ended += [w.id for w in waiting]

    @precondition(lambda self: self.flights)
    @rule(data=st.data())
    def halve(self, data: st.DataObject) -> None:
        batch, waiting = self._land(data)
        self.plan.halve(batch)
        middle = (len(waiting) + 1) // 2
        self.model.queue += [
            replace(w, group=("half", batch, number), is_closed=True)
            for number, half in enumerate((waiting[:middle], waiting[middle:]))
            for w in half
        ]

    @rule(seconds=st.sampled_from([0.25, 0.5, 1.0, 4.0]))
    def let_time_pass(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def sleep_until_woken(self) -> None:
        """At `wake_at` something is due, as the plan itself sees it."""
        wake_at = self.plan.wake_at()
        if wake_at is not None:
            self.now = max(self.now, wake_at)
            assert self._expire() or self._take(), "woken early"

    @rule(rows=st.integers(0, 8), is_pressed=st.booleans())
    def expect(self, rows: int, is_pressed: bool) -> None:  # noqa: FBT001
        """So many rows have come after answers lately, and the gateway has time, or none."""
        self.plan.patience.expected = rows
        self.plan.patience.is_pressed = is_pressed

    @rule()
    def hurry(self) -> None:
        self.plan.hurry()

    @invariant()
    def counts_agree(self) -> None:
        queue = self.model.queue
        assert self.plan.queued_requests == len(queue)
        assert self.plan.queued_rows == sum(w.weight for w in queue)
        assert self.plan.slots.in_flight == self.model.in_flight == len(self.flights)
        assert self.plan.is_idle == (not queue and not self.flights)
        for batch, waiting in self.flights:
            assert [entry.id for entry in self.plan.still_waiting(batch)] == [w.id for w in waiting]
            assert batch.waiting == len(waiting)

    @invariant()
    def wakes_neither_early_nor_late(self) -> None:
        wake_at = self.plan.wake_at()
        moments = self._moments()
        if wake_at is None:
            assert not any(self._is_due(moment) for moment in moments)
            return
        assert self._is_due(max(wake_at, self.now)), "woken early"
        assert not any(self._is_due(moment) for moment in moments if moment < wake_at), "late"

    def teardown(self) -> None:
        """Let everything end: each accepted request has ended exactly once, and no line is left."""
        if not hasattr(self, "plan"):
            return
        self.now = math.inf
        self._expire()
        while self.flights:
            batch, waiting = self.flights.pop()
            assert not waiting
            self.plan.finish(batch, None)
        assert sorted(self.ended) == sorted(self.accepted)
        assert self.plan.is_idle
        assert (self.plan.queued_rows, self.plan.queued_requests) == (0, 0)
        assert self.plan.wake_at() is None
        assert not any(line.entries for line in self.plan._lines._open.values())

    def _take(self) -> bool:
        expected = self.model.take(self.now, self._in_flight())
        batch = self.plan.take(self.now)
        self._sweep()
        for waiting in expected.late:
            self._forget(waiting)
            self.overdue.append(waiting)
        if batch is None:
            assert not expected.batch
            self.model.has_waited |= self._has_room_and_waits()
            return bool(expected.late)
        assert [entry.id for entry in batch.entries] == [w.id for w in expected.batch]
        assert [entry.slot for entry in batch.entries] == [f"#{w.id}" for w in expected.batch]
        assert (batch.departure, batch.left_at) == (expected.departure, self.now)
        assert len({entry.key for entry in batch.entries}) == 1
        assert batch.rows == sum(w.rows for w in expected.batch)
        assert batch.rows <= self.model.limits.max_batch_rows
        self.model.queue = [w for w in self.model.queue if w not in expected.batch]
        self.model.in_flight += 1
        self.model.note(expected.batch)
        self.model.has_waited = False
        self.flights.append((batch, expected.batch))
        return True

    def _has_room_and_waits(self) -> bool:
        return bool(self.model.queue) and self.model.in_flight < self.model.limits.max_in_flight

    def _expire(self) -> bool:
        self._sweep()
        told, self.overdue = self.overdue, []
        assert [entry.id for entry in self.plan.expire(self.now)] == [w.id for w in told]
        self.ended += [w.id for w in told]
        return bool(told)

    def _land(self, data: st.DataObject) -> tuple[Batch[str], list[Waiting]]:
        index = data.draw(st.integers(0, len(self.flights) - 1))
        self.model.in_flight -= 1
        return self.flights.pop(index)

    def _known(self) -> list[Waiting]:
        return [*self.model.queue, *self._in_flight()]

    def _in_flight(self) -> list[Waiting]:
        return [w for _, waiting in self.flights for w in waiting]

    def _forget(self, gone: Waiting) -> None:
        self.model.queue = [w for w in self.model.queue if w.id != gone.id]
        for _, waiting in self.flights:
            waiting[:] = [w for w in waiting if w.id != gone.id]

    def _sweep(self) -> None:
        late = [w for w in self._known() if w.deadline <= self.now]
        for waiting in sorted(late, key=lambda w: (w.deadline, w.id)):
            self._forget(waiting)
            self.overdue.append(waiting)

    def _is_due(self, moment: float) -> bool:
        if self.overdue or any(w.deadline <= moment for w in self._known()):
            return True
        found = self.model.take(moment, [w for w in self._in_flight() if w.deadline > moment])
        return bool(found.batch or found.late)

    def _moments(self) -> list[float]:
        """Every moment at which the model may change its mind, and one just before each."""
        reserve_s = self.plan.slots.reserve_s
        ends = [w.deadline for w in self._known()]
        moments = [self.now]
        for moment in (*ends, *[end - reserve_s for end in ends], self.plan.patience.until):
            moments += [moment, math.nextafter(moment, -math.inf)]
        return [moment for moment in moments if self.now <= moment < math.inf]


TestPlan = PlanMachine.TestCase
TestPlan.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
