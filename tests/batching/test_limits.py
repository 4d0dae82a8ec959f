"""BatchLimits and Slots."""

from __future__ import annotations

import math

import pytest

from gateway.batching import BatchLimits
from gateway.batching.limits import SharedSlots, Slots
from gateway.config import BatchingConfig
from tests.batching.turns import Turns


def test_limits_come_from_the_configuration_in_seconds() -> None:
    config = BatchingConfig(max_batch_rows=8, max_delay_ms=2.5, max_queued_rows=99, max_in_flight=3)
    assert BatchLimits.of(config) == BatchLimits(
        max_batch_rows=8,
        max_delay_s=0.0025,
        max_queued_rows=99,
        max_in_flight=3,
        min_in_flight=1,
    )


def test_the_defaults_agree_with_the_configuration() -> None:
    assert BatchLimits.of(BatchingConfig()) == BatchLimits(max_in_flight=4, min_in_flight=1)


def test_there_is_room_until_every_slot_is_taken() -> None:
    slots = Slots(2)
    room = [slots.has_room]
    for _ in range(2):
        slots.acquire(0.0)
        room.append(slots.has_room)
    slots.release(None)
    assert [*room, slots.has_room] == [True, True, False, True]


def test_before_the_first_answer_every_wait_is_a_risk() -> None:
    slots = Slots(1)
    slots.acquire(0.0)
    slots.release(None)
    assert math.isinf(slots.reserve_s)


def test_the_reserve_rises_at_once_and_is_remembered_for_half_a_minute() -> None:
    slots = Slots(1)
    slots.release(0.010, 0.0)
    assert slots.reserve_s == pytest.approx(2 * 0.010 + 0.005)
    slots.release(0.100, 1.0)
    assert slots.reserve_s == pytest.approx(2 * 0.100 + 0.005)
    slots.release(0.010, 30.9)
    assert slots.reserve_s == pytest.approx(2 * 0.100 + 0.005)
    slots.release(0.010, 31.0)
    assert slots.reserve_s == pytest.approx(2 * 0.010 + 0.005)


def test_what_the_backend_takes_is_a_limit_too() -> None:
    """The smaller of both counts."""
    config = BatchingConfig(max_batch_rows=8)
    told = {limit: BatchLimits.of(config, limit).max_batch_rows for limit in (None, 4, 8, 16)}
    assert told == {None: 8, 4: 4, 8: 8, 16: 8}


def _batch_after_a_wait(slots: SharedSlots, turns: Turns, asks: float, comes: float) -> None:
    """A batch that takes a second, and leaves when the others are done."""
    turns.is_free = False
    assert not slots.acquire(asks)
    assert not slots.has_room
    turns.come()
    assert slots.acquire(comes)
    slots.release(1.0, comes + 1.0)


def test_our_pace_is_what_the_others_leave_us() -> None:
    slots = SharedSlots(1, turns := Turns())
    assert slots.acquire(0.0)
    slots.release(1.0, 1.0)
    for begins in (1.0, 4.0, 7.0):
        _batch_after_a_wait(slots, turns, asks=begins, comes=begins + 2.0)
    assert slots.pace_s == 3.0
    assert slots.turn_in_s(9.5) == 2.5
    assert slots.turn_in_s(60.0) == 0.0


def test_one_batch_that_was_held_up_alone_changes_nothing() -> None:
    slots = SharedSlots(1, turns := Turns())
    for begins in (0.0, 1.0):
        assert slots.acquire(begins)
        slots.release(1.0, begins + 1.0)
    _batch_after_a_wait(slots, turns, asks=2.0, comes=9.0)
    assert (slots.pace_s, slots.turn_in_s(9.0)) == (0.0, 0.0)


def test_who_was_idle_before_has_no_slower_pace_for_it() -> None:
    """It counts no earlier than a batch before the wait: as long as one may have been at the backend."""
    slots = SharedSlots(1, turns := Turns())
    assert slots.acquire(0.0)
    slots.release(1.0, 1.0)
    for asks in (100.0, 200.0):
        _batch_after_a_wait(slots, turns, asks=asks, comes=asks + 2.0)
    assert slots.pace_s == 3.0
