"""Plan when a batch may wait to grow: for whom, how long, and what ends the wait earlier."""

from __future__ import annotations

import math

import pytest

from gateway.batching import BatchLimits
from tests.batching.desk import Desk, ids, taken


def _waiting_desk(limits: BatchLimits, *, backend_s: float = 0.1, rows: int = 100) -> Desk:
    """A batch has just been answered, at 0, and so many rows are expected to follow."""
    desk = Desk(limits)
    desk.learn(backend_s)
    desk.expect(rows)
    return desk


def test_a_batch_waits_for_others_up_to_its_delay_and_no_longer() -> None:
    desk = _waiting_desk(BatchLimits(max_delay_s=2.0))
    first, second = desk.offer(at=1.0), desk.offer(at=1.5)
    assert desk.plan.wake_at() == 2.0
    assert desk.take(math.nextafter(2.0, 0.0)) == []
    batch = taken(desk.plan.take(2.0))
    assert (ids(batch), batch.departure) == ([first, second], "delay")


def test_nobody_waits_longer_after_an_answer_than_the_delay() -> None:
    desk = _waiting_desk(BatchLimits(max_delay_s=2.0))
    late = desk.offer(at=2.0)
    batch = taken(desk.plan.take(2.0))
    assert (ids(batch), batch.departure) == ([late], "slot_free")


def test_a_batch_leaves_as_soon_as_those_expected_are_there() -> None:
    desk = _waiting_desk(BatchLimits(max_delay_s=2.0), rows=3)
    sent = [desk.offer(), desk.offer()]
    assert desk.take(0.5) == []
    sent.append(desk.offer(at=0.6))
    batch = taken(desk.plan.take(0.6))
    assert (ids(batch), batch.departure) == (sent, "slot_free")


def test_a_gateway_that_has_time_waits_only_for_what_pays() -> None:
    """Three of four are missing: each would be spared 1 s, and all four would lose the delay."""
    for delay_s, waits in ((0.7, True), (0.8, False)):
        desk = _waiting_desk(BatchLimits(max_delay_s=delay_s), backend_s=1.0, rows=4)
        desk.plan.patience.is_pressed = False
        sent = desk.offer()
        assert desk.take() == ([] if waits else [sent])


def test_a_lone_caller_never_waits() -> None:
    """It asks again as soon as it is answered, for ever: it learns to expect itself, and nobody else."""
    desk = Desk(BatchLimits(max_delay_s=1.0))
    now = 0.0
    desk.plan.patience.is_pressed = True
    for _ in range(100):
        sent = desk.offer(at=now, deadline=now + 1000.0)
        batch = taken(desk.plan.take(now))
        assert (ids(batch), batch.departure) == ([sent], "slot_free")
        now += 0.1
        desk.plan.finish(batch, 0.1, now)


def test_a_lone_caller_never_waits_however_many_rows_it_brings() -> None:
    desk = Desk(BatchLimits(max_delay_s=1.0))
    now = 0.0
    desk.plan.patience.is_pressed = True
    for number in range(100):
        sent = desk.offer(8 if number % 2 else 1, at=now, deadline=now + 1000.0)
        batch = taken(desk.plan.take(now))
        assert ids(batch) == [sent]
        now += 0.1
        desk.plan.finish(batch, 0.1, now)


def test_who_left_while_waiting_leaves_no_trace_in_the_next_departure() -> None:
    desk = _waiting_desk(BatchLimits(max_delay_s=2.0))
    waits = desk.offer()
    assert desk.take() == []
    desk.plan.cancel(waits)
    assert desk.take() == []
    sent = desk.offer(at=100.0, deadline=1000.0)
    batch = taken(desk.plan.take(100.0))
    assert (ids(batch), batch.departure) == ([sent], "slot_free")


def test_two_callers_that_take_turns_come_to_share_batches() -> None:
    """Each asks again 1 ms after its answer; without a wait, one would always miss the other's batch."""
    desk = Desk(BatchLimits(max_delay_s=0.02))
    desk.offer()
    batch, now = taken(desk.plan.take(0.0)), 0.0
    desk.offer(at=0.05)
    sizes = []
    for _ in range(50):
        now += 0.1
        desk.plan.finish(batch, 0.1, now)
        while (found := desk.plan.take(now)) is None:
            now += 0.001
            for _ in batch.entries:
                desk.offer(at=now)
        if len(found.entries) == 1 and not desk.plan.queued_rows:
            desk.offer(at=now + 0.001)  # the one that was just answered, too late
        batch = found
        sizes.append(len(batch.entries))
    assert sizes[0] == 1
    assert sizes[-10:] == [2] * 10


def test_a_full_batch_does_not_wait() -> None:
    desk = _waiting_desk(BatchLimits(max_batch_rows=2, max_delay_s=2.0))
    full = [desk.offer(), desk.offer()]
    batch = taken(desk.plan.take(0.0))
    assert (ids(batch), batch.departure) == (full, "full")


def test_nobody_waits_while_another_kind_of_request_does() -> None:
    desk = _waiting_desk(BatchLimits(max_delay_s=2.0, max_in_flight=9))
    first = desk.offer(key="a")
    assert desk.take() == []
    second = desk.offer(key="b")
    assert desk.take() == [first]
    assert desk.take() == []
    assert desk.take(2.0) == [second]


def test_nobody_waits_when_that_would_risk_a_deadline() -> None:
    """Batches take 1 s; twice that and 5 ms before the deadline, waiting ends."""
    desk = _waiting_desk(BatchLimits(max_delay_s=100.0), backend_s=1.0)
    first, hasty = desk.offer(at=1.0), desk.offer(at=1.0, deadline=11.0)
    leave_at = 11.0 - 2.005
    assert desk.plan.wake_at() == leave_at
    assert desk.take(math.nextafter(leave_at, 0.0)) == []
    batch = taken(desk.plan.take(leave_at))
    assert (ids(batch), batch.departure) == ([hasty, first], "deadline")


def test_nobody_waits_while_nothing_is_known_of_the_backend() -> None:
    desk = Desk(BatchLimits(max_delay_s=100.0))
    desk.expect(100)
    first = desk.offer()
    assert desk.take() == [first]


def test_in_a_hurry_nobody_waits() -> None:
    desk = _waiting_desk(BatchLimits(max_delay_s=100.0))
    first = desk.offer(at=1.0)
    assert desk.take(1.0) == []
    desk.plan.hurry()
    assert desk.plan.wake_at() == -math.inf
    assert desk.take(1.0) == [first]


def test_halves_do_not_wait_for_others() -> None:
    """Neither is full, and neither can ever be: nobody may join."""
    desk = _waiting_desk(BatchLimits(max_batch_rows=2, max_delay_s=100.0, max_in_flight=9))
    first, second = desk.offer(), desk.offer()
    desk.plan.halve(taken(desk.plan.take(0.0)))
    assert [desk.take(), desk.take()] == [[first], [second]]


@pytest.mark.parametrize("max_delay_s", [0.0, 1.0])
def test_without_a_slot_there_is_nothing_to_wait_for(max_delay_s: float) -> None:
    desk = _waiting_desk(BatchLimits(max_delay_s=max_delay_s, max_in_flight=1))
    desk.plan.patience.is_pressed = False
    desk.plan.patience.expected = 0.0
    desk.offer(deadline=7.0)
    desk.take()
    desk.offer(deadline=9.0)
    assert desk.plan.wake_at() == 7.0
