"""How many calls are inside, and is there room for one more?"""

from __future__ import annotations

import threading

from serving.tf_serving.pool import CallPool


def test_there_is_room_for_the_threads_and_the_queue_and_no_more() -> None:
    gate = threading.Event()
    with CallPool(threads=2, max_queued=1) as pool:
        calls = [pool.submit(gate.wait, 30) for _ in range(3)]
        assert not pool.has_room
        assert repr(pool) == "<CallPool 3 of 3 calls>"
        gate.set()
        assert all(call.result(30) for call in calls)
    assert repr(pool) == "<CallPool 0 of 3 calls>"


def test_there_is_room_until_the_queue_is_full() -> None:
    gate = threading.Event()
    with CallPool(threads=1, max_queued=1) as pool:
        pool.submit(gate.wait, 30)
        assert pool.has_room
        gate.set()


def test_waiting_for_the_last_call_ends_with_it_or_in_time() -> None:
    gate = threading.Event()
    with CallPool(threads=1, max_queued=0) as pool:
        assert pool.wait_until_idle(0)
        pool.submit(gate.wait, 30)
        assert not pool.wait_until_idle(0)
        gate.set()
        assert pool.wait_until_idle(30)


def test_a_call_that_fails_leaves_its_place() -> None:
    with CallPool(threads=1, max_queued=0) as pool:
        error = pool.submit(int, "x").exception(30)
    assert isinstance(error, ValueError)
    assert pool.calls == 0
