"""BatchLimits and Slots."""

from __future__ import annotations

import math

import pytest

from gateway.batching import BatchLimits
from gateway.batching.limits import Slots
from gateway.config import BatchingConfig


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
        slots.acquire()
        room.append(slots.has_room)
    slots.release(None)
    assert [*room, slots.has_room] == [True, True, False, True]


def test_before_the_first_answer_every_wait_is_a_risk() -> None:
    slots = Slots(1)
    slots.acquire()
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
