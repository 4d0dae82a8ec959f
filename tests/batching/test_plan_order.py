"""Plan: who goes first, and who is told at once that it would be too late."""

from __future__ import annotations

import pytest

from gateway.batching import BatchLimits
from gateway.batching.entry import HIGH, LOW, NORMAL, Entry
from gateway.errors import DeadlineTooNear, WouldBeLate
from tests.batching.desk import Desk, ids, taken


def test_the_sooner_deadline_goes_first() -> None:
    desk = Desk(BatchLimits(max_batch_rows=2))
    later, latest, soon = [desk.offer(deadline=deadline) for deadline in (20.0, 30.0, 10.0)]
    batch = taken(desk.plan.take(0.0))
    assert ids(batch) == [soon, later]
    desk.plan.finish(batch, None)
    assert desk.take() == [latest]


def test_the_line_with_the_soonest_deadline_goes_first() -> None:
    desk = Desk(BatchLimits(max_in_flight=9))
    a, b = desk.offer(key="a", deadline=20.0), desk.offer(key="b", deadline=10.0)
    a_too = desk.offer(key="a", deadline=5.0)
    assert [desk.take(), desk.take()] == [[a_too, a], [b]]


def test_who_comes_after_all_others_of_its_kind_have_left_is_not_forgotten() -> None:
    desk = Desk(BatchLimits(max_in_flight=9))
    desk.plan.cancel(desk.offer(key="a", deadline=5.0))
    late, other = desk.offer(key="a", deadline=9.0), desk.offer(key="b", deadline=8.0)
    assert [desk.take(), desk.take(), desk.take()] == [[other], [late], []]


def test_a_line_whose_first_left_goes_by_its_next() -> None:
    desk = Desk(BatchLimits(max_in_flight=9))
    soon, later = desk.offer(key="a", deadline=5.0), desk.offer(key="a", deadline=9.0)
    other = desk.offer(key="b", deadline=8.0)
    desk.plan.cancel(soon)
    assert [desk.take(), desk.take()] == [[other], [later]]


def test_who_has_much_time_is_not_put_off_until_it_has_none_left() -> None:
    """Batches of b take 2 s: it has to leave at 7, before those of a that have until 8."""
    desk = Desk(BatchLimits(max_in_flight=9))
    desk.plan._lines.latency_of(desk.entry(key="b").key).note(0.0, 1, 2.0)
    a, b = desk.offer(key="a", deadline=8.0), desk.offer(key="b", deadline=9.0)
    assert [desk.take(), desk.take()] == [[b], [a]]


def test_a_higher_priority_goes_before_a_sooner_deadline() -> None:
    desk = Desk(BatchLimits(max_batch_rows=1, max_in_flight=9))
    low = desk.offer(deadline=5.0, priority=LOW)
    normal = desk.offer(deadline=6.0, priority=NORMAL)
    high = desk.offer(deadline=7.0, priority=HIGH)
    assert [desk.take() for _ in range(3)] == [[high], [normal], [low]]


def test_a_request_that_cannot_be_answered_in_time_is_refused_at_once() -> None:
    desk = Desk(BatchLimits())
    desk.learn(0.5)
    with pytest.raises(DeadlineTooNear) as caught:
        desk.offer(deadline=0.4)
    assert caught.value.message == (
        "the deadline is in 0.400 s, and a batch of 1 rows lately took 0.500 s"
    )
    assert desk.plan.is_idle
    desk.offer(deadline=0.6)


def test_once_a_second_one_is_let_through_to_show_whether_that_still_holds() -> None:
    desk = Desk(BatchLimits())
    desk.learn(0.5, now=10.0)
    with pytest.raises(DeadlineTooNear):
        desk.offer(at=10.9, deadline=11.0)
    trial = desk.offer(at=11.0, deadline=11.1)
    with pytest.raises(DeadlineTooNear):
        desk.offer(at=11.0, deadline=11.1)
    assert desk.take(11.0) == [trial]  # it is sent, though no batch was as fast lately


def test_a_model_that_is_fast_again_is_believed_at_once() -> None:
    desk = Desk(BatchLimits())
    desk.learn(5.0, now=10.0)
    desk.offer(at=11.0, deadline=11.1)
    desk.plan.finish(taken(desk.plan.take(11.0)), 0.01, 11.01)
    for number in range(5):
        desk.offer(at=11.02, deadline=11.12 + number)


@pytest.mark.parametrize("kind", ["alone", "parameters", "no rows"])
def test_requests_that_share_no_line_are_refused_at_once_too(kind: str) -> None:
    desk = Desk(BatchLimits())

    def entry(number: int, deadline: float = 99.0) -> Entry[None]:
        made = desk.entry(0 if kind == "no rows" else 1, at=10.0, deadline=deadline)
        if kind == "alone":
            made.key = made.key._replace(batchable=False)
        if kind == "parameters":
            made.key = made.key._replace(parameters=(("x", number, str(number)),))
        return made

    for number in range(3):
        desk.plan.offer(entry(number))
        desk.plan.finish(taken(desk.plan.take(10.0)), 0.5, 10.0)
    with pytest.raises(DeadlineTooNear):
        desk.plan.offer(entry(4, deadline=10.4))


def test_one_that_has_much_time_hides_no_queue_from_those_who_have_little() -> None:
    desk = Desk(BatchLimits(max_batch_rows=4))
    desk.learn(1.0, rows=4)
    desk.offer(4)
    desk.take()
    desk.offer(at=0.2, deadline=1000.0)
    for _ in range(8):
        desk.offer(at=0.2, deadline=4.4)
    with pytest.raises(WouldBeLate, match="8 rows go before it"):
        desk.offer(at=0.2, deadline=4.4)


def test_what_is_ahead_takes_what_its_own_kind_takes() -> None:
    """192 rows of a kind that takes 1 ms are no hindrance to one that takes 0.5 s."""
    desk = Desk(BatchLimits(max_in_flight=1))
    desk.learn(0.5)
    fast = desk.plan._lines.latency_of(desk.entry(key="b").key)
    for _ in range(3):
        fast.note(0.0, 64, 0.001)
    for _ in range(192):
        desk.offer(key="b", deadline=0.9)
    desk.offer(deadline=1.2)


def test_a_request_behind_too_many_others_is_refused_at_once() -> None:
    """A slot is free in 0.8 s; then two batches go before its own, of 1 s each."""
    desk = Desk(BatchLimits(max_batch_rows=4))
    desk.learn(1.0, rows=4)
    desk.offer(4)
    desk.take()
    for _ in range(8):
        desk.offer(at=0.2, deadline=99.0)
    desk.offer(at=0.2, deadline=4.5)
    with pytest.raises(WouldBeLate) as caught:
        desk.offer(at=0.2, deadline=4.3, priority=LOW)
    assert "the answer would come in about 3.800 s" in caught.value.message
    assert "9 rows go before it, and 1 batches are at the backend" in caught.value.message
    assert caught.value.retry_after_s == pytest.approx(3.8 - 0.8 * 4.1)


def test_a_fifth_of_the_time_is_kept_in_hand_where_there_is_a_wait_and_none_where_there_is_none() -> (
    None
):
    desk = Desk(BatchLimits(max_batch_rows=1, max_queued_rows=9))
    desk.learn(1.0)
    desk.offer(deadline=1.0)
    assert desk.take()
    with pytest.raises(WouldBeLate):
        desk.offer(deadline=2.4)
    desk.offer(deadline=2.5)


def test_what_has_more_time_is_not_ahead() -> None:
    desk = Desk(BatchLimits(max_batch_rows=1))
    desk.learn(1.0)
    for _ in range(50):
        desk.offer(deadline=1000.0)
    hasty = desk.offer(deadline=1.5)
    assert desk.take() == [hasty]


def _learned(desk: Desk, *answers: tuple[int, float]) -> None:
    for rows, seconds in answers:
        desk.learn(seconds, rows)
    latency = desk.plan._lines.latency_of(desk.entry().key)
    for seconds in (1.2, 0.65, 0.4):  # they were faster now and then: nobody is given up
        latency.note(0.0, 8, seconds)


def test_a_batch_is_smaller_where_its_first_would_be_late_in_a_full_one() -> None:
    """8 rows usually take 2 s, 4 take 1 s, and the first has 1.9 s, a fifth of it in hand: 6 rows."""
    desk = Desk(BatchLimits(max_batch_rows=8))
    _learned(desk, (4, 1.0), (8, 2.0))
    sent = [desk.offer(deadline=1.9 if number == 0 else 99.0) for number in range(8)]
    assert desk.take() == sent[:6]


def test_who_could_only_make_it_in_a_tiny_batch_is_left_out_of_a_full_one() -> None:
    desk = Desk(BatchLimits(max_batch_rows=8))
    _learned(desk, (1, 0.1), (8, 2.0))
    sent = [desk.offer(deadline=0.55 if number == 0 else 99.0) for number in range(8)]
    assert desk.take() == sent[1:]
    assert [entry.id for entry in desk.plan.expire(0.0)] == sent[:1]


def test_one_that_has_little_time_takes_a_small_batch_and_is_not_given_up() -> None:
    """64 rows take 0.5 s and one takes 10 ms; of the 64, one has 0.4 s."""
    desk = Desk(BatchLimits())
    desk.learn(0.01, rows=1)
    desk.learn(0.5, rows=64)
    hasty = desk.offer(deadline=0.4)
    for _ in range(63):
        desk.offer(deadline=60.0)
    assert hasty in desk.take()


def test_a_batch_that_nobody_waits_for_any_longer_would_have_taken_longer() -> None:
    """It teaches that, or else batches that are all too slow would be sent for ever."""
    desk = Desk(BatchLimits())
    desk.learn(0.5)
    for now in (10.0, 20.0, 30.0, 40.0):
        desk.offer(at=now, deadline=now + 2.0)
        batch = taken(desk.plan.take(now))
        desk.plan.expire(now + 2.0)
        desk.plan.give_up(batch, now + 2.0)
    with pytest.raises(DeadlineTooNear):
        desk.offer(at=42.5, deadline=44.0)


def test_a_batch_that_is_given_up_early_teaches_nothing() -> None:
    desk = Desk(BatchLimits())
    desk.learn(0.5)
    for _ in range(9):
        desk.plan.cancel(desk.offer())
        batch_of = desk.offer()
        batch = taken(desk.plan.take(0.0))
        desk.plan.cancel(batch_of)
        desk.plan.give_up(batch, 0.1)
    with pytest.raises(DeadlineTooNear):
        desk.offer(deadline=0.4)


def test_who_is_late_when_its_batch_would_leave_is_left_out() -> None:
    """Two have 1 s left, and half of the batches lately took 2 or more: the third goes without them."""
    desk = Desk(BatchLimits(max_batch_rows=4, max_in_flight=1))
    desk.offer()
    batch = taken(desk.plan.take(0.0))
    late = [desk.offer(deadline=11.0), desk.offer(deadline=10.5)]
    fine = desk.offer(deadline=99.0)
    _learn_two_seconds(desk)
    desk.plan.finish(batch, 2.0, 10.0)
    assert desk.take(10.0) == [fine]
    told = desk.plan.expire(10.0)
    assert [entry.id for entry in told] == [late[1], late[0]]
    assert [entry.needed_s for entry in told] == [2.0, 2.0]
    assert not desk.plan.cancel(late[0])


def test_when_all_of_a_line_are_late_the_next_goes() -> None:
    desk = Desk(BatchLimits(max_batch_rows=4, max_in_flight=1))
    desk.offer()
    batch = taken(desk.plan.take(0.0))
    late = desk.offer(deadline=11.0)
    fine = desk.offer(key="b", deadline=99.0)
    _learn_two_seconds(desk)
    desk.plan.finish(batch, 2.0, 10.0)
    assert desk.take(10.0) == [fine]
    assert desk.plan.wake_at() == float("-inf")
    assert [entry.id for entry in desk.plan.expire(10.0)] == [late]


def _learn_two_seconds(desk: Desk) -> None:
    latency = desk.plan._lines.latency_of(desk.entry().key)
    for _ in range(2):
        latency.note(10.0, 1, 2.0)
