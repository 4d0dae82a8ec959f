"""Plan: how long who goes behind others may have to wait."""

from __future__ import annotations

from gateway.batching import BatchLimits
from gateway.batching.entry import HIGH, LOW, NORMAL
from tests.batching.desk import Desk, ids, taken


def test_nobody_waits_ten_seconds_longer_than_another_kind_because_it_has_more_time() -> None:
    desk = Desk(BatchLimits(max_in_flight=9))
    patient = desk.offer(key="a", deadline=1000.0)
    hasty = desk.offer(key="b", at=9.5, deadline=9.9)
    later = desk.offer(key="c", at=9.6, deadline=10.1)
    assert [desk.take(9.6), desk.take(9.6), desk.take(9.6)] == [[hasty], [patient], [later]]


def test_of_its_own_kind_who_has_more_time_waits_until_no_sooner_deadline_is_left() -> None:
    """Two a second leave, and two come with 5 s each: it goes at 35, with those that have until 40 as it has."""
    desk = Desk(BatchLimits(max_batch_rows=2))
    patient = desk.offer(deadline=40.0)
    for second in range(60):
        for _ in range(2):
            desk.offer(at=float(second), deadline=second + 5.0)
        batch = taken(desk.plan.take(float(second)))
        desk.plan.finish(batch, None, second + 1.0)
        if patient in ids(batch):
            break
    assert second == 35


def test_one_batch_in_eight_goes_to_the_lowest_priority() -> None:
    """However many come with a higher one: none starves another."""
    desk = Desk(BatchLimits(max_batch_rows=2, max_in_flight=99, max_queued_rows=99))
    low = [desk.offer(priority=LOW) for _ in range(4)]
    for _ in range(40):
        desk.offer(priority=HIGH)
    batches = [desk.take() for _ in range(16)]
    assert [number for number, batch in enumerate(batches) if batch[0] in low] == [7, 15]
    assert (batches[7], batches[15]) == (low[:2], low[2:])


def test_one_batch_in_sixteen_goes_to_each_of_two_lower_priorities() -> None:
    desk = Desk(BatchLimits(max_batch_rows=1, max_in_flight=99, max_queued_rows=999))
    offered = {desk.offer(priority=p): p for p in (HIGH, NORMAL, LOW) for _ in range(50)}
    led = [offered[desk.take()[0]] for _ in range(48)]
    assert [led.count(priority) for priority in (HIGH, NORMAL, LOW)] == [42, 3, 3]
    assert led[7::8] == [LOW, NORMAL] * 3
