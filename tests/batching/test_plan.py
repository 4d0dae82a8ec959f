"""Plan: its promises one by one. `test_plan_model.py` checks them together, against a naive model."""

from __future__ import annotations

import math

import pytest

from gateway.batching import BatchLimits
from gateway.batching.entry import HIGH, LOW
from gateway.errors import QueueFull
from tests.batching.desk import Desk, ids, taken


def test_requests_of_one_key_leave_together_in_order() -> None:
    desk = Desk(BatchLimits())
    sent = [desk.offer() for _ in range(3)]
    assert desk.take() == sent


def test_a_batch_holds_one_key_and_the_oldest_request_leaves_first() -> None:
    desk = Desk(BatchLimits(max_in_flight=9))
    first_b, first_a = desk.offer(key="b"), desk.offer(key="a")
    second_b, third_b = desk.offer(key="b"), desk.offer(key="b")
    assert desk.take() == [first_b, second_b, third_b]
    assert desk.take() == [first_a]
    assert desk.take() == []


def test_nobody_overtakes_a_request_that_does_not_fit() -> None:
    """3 + 3 of 4 rows: the second waits, and so does the single row behind it."""
    desk = Desk(BatchLimits(max_batch_rows=4, max_in_flight=9))
    first, second, third = desk.offer(3), desk.offer(3), desk.offer(1)
    assert desk.take() == [first]
    assert desk.take() == [second, third]


def test_no_batch_without_a_slot() -> None:
    desk = Desk(BatchLimits(max_in_flight=1))
    desk.offer()
    batch = taken(desk.plan.take(0.0))
    second = desk.offer()
    assert desk.take() == []
    desk.plan.finish(batch, 0.1)
    assert desk.take() == [second]


def test_requests_without_rows_and_without_a_batch_dimension_travel_alone() -> None:
    desk = Desk(BatchLimits(max_in_flight=9))
    first, empty, second = desk.offer(), desk.offer(0), desk.offer()
    one, other = desk.offer(key="alone"), desk.offer(key="alone")
    assert [desk.take() for _ in range(5)] == [[first, second], [empty], [one], [other], []]


def test_queued_rows_are_bounded_and_a_refused_request_changes_nothing() -> None:
    desk = Desk(BatchLimits(max_queued_rows=10))
    desk.offer(7)
    with pytest.raises(QueueFull) as caught:
        desk.offer(4)
    assert caught.value.message == ("7 rows are queued and at most 10 may be, this request has 4")
    assert (desk.plan.queued_rows, desk.plan.queued_requests) == (7, 1)
    desk.offer(3)
    assert desk.plan.queued_rows == 10


def test_requests_without_rows_are_bounded_too() -> None:
    desk = Desk(BatchLimits(max_queued_rows=3))
    for _ in range(3):
        desk.offer(0)
    with pytest.raises(QueueFull):
        desk.offer(0)


def test_pieces_are_accepted_all_or_none() -> None:
    desk = Desk(BatchLimits(max_batch_rows=4, max_queued_rows=10))
    with pytest.raises(QueueFull, match="has 11"):
        desk.plan.offer(desk.entry(4), desk.entry(4), desk.entry(3))
    assert (desk.plan.queued_rows, desk.plan.wake_at()) == (0, None)
    desk.plan.offer(desk.entry(4), desk.entry(4), desk.entry(2))
    assert desk.plan.queued_rows == 10


def test_what_is_in_flight_does_not_count_as_queued() -> None:
    desk = Desk(BatchLimits(max_queued_rows=2))
    desk.offer(2)
    desk.take()
    desk.offer(2)
    assert desk.plan.queued_rows == 2


def test_a_cancelled_request_never_leaves_and_is_gone_once() -> None:
    desk = Desk(BatchLimits())
    first, second = desk.offer(), desk.offer()
    assert desk.plan.cancel(first)
    assert not desk.plan.cancel(first)
    assert desk.plan.queued_rows == 1
    assert desk.take() == [second]


def test_who_leaves_in_flight_leaves_the_batch_waiting_for_the_others() -> None:
    desk = Desk(BatchLimits())
    first, second = desk.offer(), desk.offer()
    batch = taken(desk.plan.take(0.0))
    assert desk.plan.cancel(first)
    assert batch.waiting == 1
    assert [entry.id for entry in desk.plan.still_waiting(batch)] == [second]
    assert desk.plan.cancel(second)
    assert batch.waiting == 0
    assert not desk.plan.is_idle
    desk.plan.finish(batch, None)
    assert desk.plan.is_idle


@pytest.mark.parametrize("expire_first", [True, False])
def test_a_request_at_its_deadline_is_expired_and_not_taken(expire_first: bool) -> None:  # noqa: FBT001
    desk = Desk(BatchLimits())
    late, early = desk.offer(deadline=5.0), desk.offer(deadline=6.0)
    if not expire_first:
        assert desk.take(5.0) == [early]
    assert [entry.id for entry in desk.plan.expire(5.0)] == [late]
    assert desk.plan.expire(5.0) == []
    assert not desk.plan.cancel(late)


def test_requests_expire_in_flight_too() -> None:
    desk = Desk(BatchLimits())
    desk.offer(deadline=5.0)
    batch = taken(desk.plan.take(0.0))
    assert desk.plan.wake_at() == 5.0
    assert desk.plan.expire(4.9) == []
    assert len(desk.plan.expire(5.0)) == 1
    assert batch.waiting == 0


def test_a_finished_request_does_not_expire() -> None:
    desk = Desk(BatchLimits())
    desk.offer(deadline=5.0)
    desk.plan.finish(taken(desk.plan.take(0.0)), 1.0)
    assert desk.plan.wake_at() is None
    assert desk.plan.expire(math.inf) == []


def test_halves_go_as_they_went_before_and_nobody_joins_them() -> None:
    desk = Desk(BatchLimits(max_in_flight=1))
    sent = [desk.offer() for _ in range(5)]
    batch = taken(desk.plan.take(0.0))
    later = desk.offer()
    desk.plan.cancel(sent[1])
    desk.plan.halve(batch)
    halves = [taken(desk.plan.take(0.0))]
    desk.plan.finish(halves[0], None)
    halves.append(taken(desk.plan.take(0.0)))
    desk.plan.finish(halves[1], None)
    assert [ids(half) for half in halves] == [[sent[0], sent[2]], [sent[3], sent[4]]]
    assert desk.take() == [later]


def test_halves_go_behind_a_higher_priority_and_a_sooner_deadline() -> None:
    desk = Desk(BatchLimits(max_batch_rows=4, max_in_flight=9))
    refused = [desk.offer(deadline=9.0, priority=LOW) for _ in range(4)]
    desk.plan.halve(taken(desk.plan.take(0.0)))
    late, high = desk.offer(priority=LOW), desk.offer(priority=HIGH)
    sooner = desk.offer(key="b", deadline=8.0, priority=LOW)
    batches = [desk.take() for _ in range(5)]
    assert batches == [[high, late], [sooner], refused[:2], refused[2:], []]


def test_a_request_that_was_halved_can_still_leave_and_expire() -> None:
    desk = Desk(BatchLimits())
    first, second = desk.offer(deadline=5.0), desk.offer(deadline=6.0)
    desk.plan.halve(taken(desk.plan.take(0.0)))
    assert desk.plan.cancel(second)
    assert [entry.id for entry in desk.plan.expire(5.0)] == [first]
    assert desk.plan.is_idle


# Memory.


def test_what_clients_make_up_leaves_nothing_behind() -> None:
    """A hundred thousand shapes, each seen once: cancelled, expired or finished, all is forgotten."""
    desk = Desk(BatchLimits(max_delay_s=1.0, max_batch_rows=2))
    for number in range(33_333):
        desk.plan.cancel(desk.offer(2, key=f"cancelled {number}"))
        desk.offer(2, key=f"expired {number}", deadline=1.0)
        desk.plan.expire(1.0)
        desk.offer(2, key=f"finished {number}")
        desk.plan.finish(taken(desk.plan.take(0.0)), 0.1)
    plan, lines = desk.plan, desk.plan._lines
    assert plan.is_idle
    assert not plan._known
    assert len(lines._open) <= 256
    assert max(len(plan._deadlines), *[len(heads) for heads in lines._heads.values()]) <= 64 + 2


def test_keys_with_parameters_are_not_kept() -> None:
    """They are as large as clients like."""
    desk = Desk(BatchLimits())
    entry = desk.entry()
    entry.key = entry.key._replace(parameters=(("of any size", "x", "x"),))
    desk.plan.offer(entry)
    assert desk.take() == [entry.id]
    assert not desk.plan._lines._open


def test_what_is_known_of_a_line_is_kept_while_it_is_empty() -> None:
    desk = Desk(BatchLimits())
    desk.learn(2.0)
    assert desk.plan._lines.latency_of(desk.entry().key).usual_s(0.0, 1) == 2.0
    assert not desk.plan._lines.rows


def test_a_line_whose_requests_come_and_leave_leaves_nothing_behind() -> None:
    """While the slots are taken nothing looks at the lines' heads; they do not pile up."""
    desk = Desk(BatchLimits(max_batch_rows=2))
    desk.offer(key="holds the slot")
    desk.take()
    desk.offer(key="a")
    for _ in range(10_000):
        desk.plan.cancel(desk.offer(key="a", deadline=1.0))
    lines = desk.plan._lines
    (order,) = lines._open[desk.entry().key].order.values()
    assert max(len(order), *[len(heads) for heads in lines._heads.values()]) <= 64 + 2
