"""Plan when a batch may wait to grow: how long, and what ends the wait earlier."""

from __future__ import annotations

import math

from gateway.batching import BatchLimits
from tests.batching.desk import Desk, ids, taken


def test_a_batch_waits_for_others_up_to_its_delay_and_no_longer() -> None:
    desk = Desk(BatchLimits(max_delay_s=2.0))
    desk.learn(backend_s=0.1)
    first, second = desk.offer(at=1.0), desk.offer(at=2.5)
    assert desk.plan.wake_at() == 3.0
    assert desk.take(math.nextafter(3.0, 0.0)) == []
    batch = taken(desk.plan.take(3.0))
    assert (ids(batch), batch.departure) == ([first, second], "delay")


def test_a_full_batch_does_not_wait_even_behind_one_that_does() -> None:
    desk = Desk(BatchLimits(max_batch_rows=2, max_delay_s=2.0, max_in_flight=9))
    desk.learn(backend_s=0.1)
    waits = desk.offer(key="a", at=1.0)
    full = [desk.offer(key="b", at=1.5), desk.offer(key="b", at=1.6)]
    batch = taken(desk.plan.take(1.6))
    assert (ids(batch), batch.departure) == (full, "full")
    assert desk.take(1.6) == []
    assert desk.take(3.0) == [waits]


def test_the_full_line_with_the_oldest_head_leaves_first() -> None:
    """`c` was full before `b`, but the head of `b` came first."""
    desk = Desk(BatchLimits(max_batch_rows=2, max_delay_s=9.0, max_in_flight=9))
    desk.learn(backend_s=0.1)
    desk.offer(key="a")
    b = [desk.offer(key="b")]
    c = [desk.offer(key="c"), desk.offer(key="c")]
    b.append(desk.offer(key="b"))
    assert [desk.take(), desk.take(), desk.take()] == [b, c, []]


def test_a_full_line_whose_head_leaves_is_still_full() -> None:
    desk = Desk(BatchLimits(max_batch_rows=2, max_delay_s=9.0, max_in_flight=9))
    desk.learn(backend_s=0.1)
    desk.offer(key="waits")
    first, second, third = [desk.offer(key="b") for _ in range(3)]
    desk.plan.cancel(first)
    assert desk.plan.wake_at() == 0.0
    assert [desk.take(), desk.take()] == [[second, third], []]


def test_what_remains_of_a_line_may_be_full_again() -> None:
    desk = Desk(BatchLimits(max_batch_rows=2, max_delay_s=9.0, max_in_flight=9))
    desk.learn(backend_s=0.1)
    desk.offer(key="waits")
    sent = [desk.offer(key="b") for _ in range(5)]
    assert [desk.take(), desk.take(), desk.take()] == [sent[:2], sent[2:4], []]


def test_a_line_that_is_no_longer_full_waits_again() -> None:
    desk = Desk(BatchLimits(max_batch_rows=2, max_delay_s=9.0))
    desk.learn(backend_s=0.1)
    desk.offer(key="waits")
    _, second = desk.offer(key="b"), desk.offer(key="b")
    desk.plan.cancel(second)
    assert desk.take() == []
    assert desk.plan.wake_at() == 9.0


def test_a_line_whose_head_left_has_the_age_of_its_next() -> None:
    desk = Desk(BatchLimits(max_delay_s=2.0))
    desk.learn(backend_s=0.1)
    first, second = desk.offer(at=1.0), desk.offer(at=2.5)
    desk.plan.cancel(first)
    assert desk.plan.wake_at() == 4.5
    assert desk.take(4.5) == [second]


def test_nobody_waits_when_that_would_risk_a_deadline() -> None:
    """Batches take 1 s; twice that and 5 ms before the deadline, waiting ends."""
    desk = Desk(BatchLimits(max_delay_s=100.0))
    desk.learn(backend_s=1.0)
    first, hasty = desk.offer(at=1.0), desk.offer(at=1.0, deadline=11.0)
    leave_at = 11.0 - 2.005
    assert desk.plan.wake_at() == leave_at
    assert desk.take(math.nextafter(leave_at, 0.0)) == []
    batch = taken(desk.plan.take(leave_at))
    assert (ids(batch), batch.departure) == ([first, hasty], "deadline")


def test_nobody_waits_while_nothing_is_known_of_the_backend() -> None:
    desk = Desk(BatchLimits(max_delay_s=100.0))
    first = desk.offer()
    assert desk.take() == [first]


def test_the_nearest_deadline_at_risk_leaves_first() -> None:
    desk = Desk(BatchLimits(max_delay_s=100.0, max_in_flight=9))
    desk.learn(backend_s=1.0)
    desk.offer(key="a")
    later, sooner = desk.offer(key="b", deadline=11.0), desk.offer(key="c", deadline=10.0)
    assert [desk.take(9.5), desk.take(9.5), desk.take(9.5)] == [[sooner], [later], []]


def test_in_a_hurry_nobody_waits() -> None:
    desk = Desk(BatchLimits(max_delay_s=100.0))
    desk.learn(backend_s=0.1)
    first = desk.offer(at=1.0)
    assert desk.take(1.0) == []
    desk.plan.hurry()
    assert desk.take(1.0) == [first]


def test_halves_do_not_wait_for_others() -> None:
    """Neither is full, and neither can ever be: nobody may join."""
    desk = Desk(BatchLimits(max_batch_rows=2, max_delay_s=100.0, max_in_flight=9))
    desk.learn(backend_s=0.1)
    first, second = desk.offer(), desk.offer()
    desk.plan.halve(taken(desk.plan.take(0.0)))
    assert [desk.take(), desk.take()] == [[first], [second]]
