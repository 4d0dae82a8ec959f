"""Plan: an operation costs the same however long the queue is. Counted in bytecodes, not timed.

None of the operations counted here falls on a moment when a `LazyHeap` cleans itself: what that costs is
amortised, and counted in `test_heap.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING

import pytest

from gateway.batching import BatchKey, BatchLimits
from gateway.batching.entry import Entry
from gateway.batching.plan import Plan

if TYPE_CHECKING:
    from _typeshed import TraceFunction

_HORIZON = 1e6


def _bytecodes(operation: Callable[[], object]) -> int:
    """How many bytecodes an operation runs, in all the frames it enters."""
    count = 0

    def trace(frame: FrameType, event: str, _argument: object) -> TraceFunction:
        nonlocal count
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        operation()
    finally:
        sys.settrace(before)
    return count


class _Queue:
    """A plan with so many requests queued, one in ten under a key of its own."""

    def __init__(self, length: int, delay_s: float) -> None:
        limits = BatchLimits(
            max_batch_rows=8, max_delay_s=delay_s, max_queued_rows=10**6, max_in_flight=10**6
        )
        self.plan: Plan[None] = Plan(limits)
        self.ids = 0
        for _ in range(length):
            self.offer()

    def offer(self) -> None:
        key = f"own {self.ids}" if self.ids % 10 == 0 else "shared"
        self.plan.offer(
            Entry(
                id=self.ids,
                key=BatchKey(key, "", (), (), (), batchable=True),
                rows=1,
                arrived=float(self.ids),
                deadline=_HORIZON + self.ids,
                slot=None,
            )
        )
        self.ids += 1

    def cancel(self, entry_id: int) -> None:
        assert self.plan.cancel(entry_id)

    def expire(self, entry_id: int) -> None:
        assert [entry.id for entry in self.plan.expire(_HORIZON + entry_id)] == [entry_id]

    def take(self) -> None:
        batch = self.plan.take(float(self.ids))
        assert batch is not None
        self.plan.finish(batch, 0.1)


def _bytecodes_by_operation(length: int, delay_s: float) -> dict[str, int]:
    """Per operation the largest count of ten."""
    queue = _Queue(length, delay_s)
    middle = range(length // 2, length // 2 + 10)
    return {
        "offer": max(_bytecodes(queue.offer) for _ in range(10)),
        "cancel": max(_bytecodes(partial(queue.cancel, entry_id)) for entry_id in middle),
        "expire": max(_bytecodes(partial(queue.expire, entry_id)) for entry_id in range(10)),
        "take": max(_bytecodes(queue.take) for _ in range(10)),
        "wake_at": _bytecodes(queue.plan.wake_at),
    }


@pytest.mark.slow
@pytest.mark.parametrize("delay_s", [0.0, 5.0])
def test_no_operation_costs_more_in_a_queue_a_thousand_times_as_long(delay_s: float) -> None:
    short = _bytecodes_by_operation(10**2, delay_s)
    long = _bytecodes_by_operation(10**5, delay_s)
    dearer = {name: (short[name], long[name]) for name in short if long[name] > 1.2 * short[name]}
    assert not dearer
