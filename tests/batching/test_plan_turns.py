"""Plan: what is predicted where other processes take the same slots in turn."""

from __future__ import annotations

import pytest

from gateway.batching import BatchLimits
from gateway.batching.limits import SharedSlots
from gateway.batching.plan import Plan
from gateway.errors import WouldBeLate
from tests.batching.desk import Desk, taken
from tests.batching.turns import Turns


def test_batches_ahead_go_as_fast_as_other_processes_let_them() -> None:
    """Of 1 s each, one in 3 s: the last of two full batches ahead of it leaves 6 s after the latest."""
    slots = SharedSlots(1, turns := Turns())
    plan: Plan[None] = Plan(BatchLimits(max_batch_rows=2), slots)
    desk = Desk(BatchLimits(max_batch_rows=2))
    for number in range(4):
        plan.offer(desk.entry(2, at=3.0 * number))
        turns.is_free = number == 0
        assert (plan.take(3.0 * number) is None) == (number > 0)
        if number:
            turns.come()
            plan.finish(taken(plan.take(3.0 * number + 2.0)), 1.0, 3.0 * number + 3.0)
        else:
            plan.finish(next(iter(plan._flights)), 1.0, 1.0)
    for _ in range(2):
        plan.offer(desk.entry(2, at=12.0, deadline=19.9))
    with pytest.raises(WouldBeLate, match=r"in about 9\.000 s"):
        plan.offer(desk.entry(1, at=12.0, deadline=20.0))
