"""Pressure: whether a thread is short of time."""

from __future__ import annotations

from gateway.batching.pressure import Pressure


def test_it_is_high_when_the_thread_computed_most_of_the_time() -> None:
    pressure = Pressure()
    pressure.note(10.0, 1.0)
    assert pressure.note(10.1, 1.09)
    assert not pressure.note(10.2, 1.10)


def test_it_is_told_by_fifty_milliseconds_at_least() -> None:
    pressure = Pressure()
    pressure.note(10.0, 1.0)
    assert not pressure.note(10.04, 1.04)
    assert pressure.note(10.06, 1.06)
    assert pressure.note(10.07, 1.06)


def test_a_thread_that_had_been_idle_for_long_is_not_pressed() -> None:
    pressure = Pressure()
    pressure.note(10.0, 1.0)
    assert not pressure.note(100.0, 2.0)
