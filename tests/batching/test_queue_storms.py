"""BatchQueue under everything at once: random callers, leavers, deadlines, failures and stuck calls.

Hypothesis shapes the storm; the clock jumps, so every storm is deterministic. A stranded caller or a
queue that does not drain shows as `Stuck`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.batching import BatchLimits
from gateway.errors import BackendRefused, BackendUnavailable, GatewayError
from gateway.tensors import Tensor
from tests.batching.fakes import Arm, Call, FakeBackend, double, open_arm
from tests.batching.virtual_time import run

_TIMES = st.sampled_from([0.0, 0.001, 0.25, 0.5, 1.0, 1.5, 3.0])


@dataclass(frozen=True)
class Guest:
    """One caller: when it comes, with what, how long it can wait, when it leaves."""

    arrives_s: float
    rows: int
    width: int
    timeout_s: float
    leaves_after_s: float | None
    is_poison: bool


_GUESTS = st.builds(
    Guest,
    arrives_s=_TIMES,
    rows=st.sampled_from([0, 1, 1, 1, 2, 3, 9]),
    width=st.sampled_from([2, 2, 3]),
    timeout_s=st.sampled_from([0.25, 1.0, 2.0, 60.0, 60.0]),
    leaves_after_s=st.one_of(st.none(), _TIMES),
    is_poison=st.sampled_from([False, False, False, False, True]),
)
_LIMITS = st.builds(
    BatchLimits,
    max_batch_rows=st.integers(1, 6),
    max_delay_s=st.sampled_from([0.0, 0.0, 0.3, 2.0]),
    max_queued_rows=st.integers(9, 40),
    max_in_flight=st.integers(1, 3),
)
# What a call does, by its number: how long it takes, and whether the backend is down.
_CALLS = st.lists(
    st.tuples(st.sampled_from([0.0, 0.25, 1.0, 1000.0]), st.sampled_from([False, False, True])),
    min_size=1,
    max_size=8,
)


class _Storm:
    """A backend with moods, and guests numbered by their value."""

    def __init__(self, guests: list[Guest], calls: list[tuple[float, bool]]) -> None:
        self.guests = guests
        self.moods = calls
        self.backend = FakeBackend(self.answer)
        self.present: set[int] = set()
        self.ends: dict[int, str] = {}

    async def answer(self, call: Call) -> tuple[Tensor, ...]:
        assert not call.values or set(map(int, call.values)) & self.present, "sent for nobody"
        seconds, is_down = self.moods[(len(self.backend.calls) - 1) % len(self.moods)]
        await asyncio.sleep(seconds)
        if is_down:
            raise BackendUnavailable("down")
        if any(self.guests[int(value)].is_poison for value in call.values):
            raise BackendRefused("poison")
        return await double(call)

    async def visit(self, arm: Arm, number: int) -> None:
        guest = self.guests[number]
        await asyncio.sleep(guest.arrives_s)
        started = arm.loop.time()
        self.present.add(number)
        try:
            values = [float(number)] * guest.rows
            got = await arm.ask(*values, timeout_s=guest.timeout_s, width=guest.width)
            assert got == [2 * number] * guest.rows, "somebody else's rows"
            self.ends[number] = "ok"
        except GatewayError as error:
            self.ends[number] = error.reason
        except asyncio.CancelledError:
            self.ends[number] = "left"
            raise
        finally:
            self.present.discard(number)
            assert arm.loop.time() <= started + guest.timeout_s + 0.002, "kept after its deadline"


@settings(max_examples=250, deadline=None)
@given(guests=st.lists(_GUESTS, min_size=1, max_size=25), limits=_LIMITS, calls=_CALLS)
def test_every_caller_ends_once_rightly_and_in_time(
    guests: list[Guest], limits: BatchLimits, calls: list[tuple[float, bool]]
) -> None:
    storm = _Storm(guests, calls)

    async def main() -> None:
        async with open_arm(storm.backend, limits) as arm, asyncio.TaskGroup() as group:
            for number, guest in enumerate(guests):
                visit = group.create_task(storm.visit(arm, number))
                if guest.leaves_after_s is not None:
                    leave_at = guest.arrives_s + guest.leaves_after_s
                    arm.loop.call_later(leave_at, visit.cancel)
        statistics = arm.queue.statistics()
        ended = statistics.answered + statistics.failed + statistics.expired + statistics.left
        assert ended == statistics.accepted
        assert (statistics.queued_rows, statistics.in_flight) == (0, 0)
        assert len(arm.records) >= len(storm.backend.calls)

    run(main)
    for number, end in storm.ends.items():
        guest = guests[number]
        assert end in {
            "ok",
            "left",
            "deadline",
            "deadline_too_near",
            "queue_full",
            "would_be_late",
            "backend_refused",
            "backend_unavailable",
        }
        assert end != "left" or guest.leaves_after_s is not None
        assert end != "backend_refused" or guest.is_poison, "poisoned by a batch-mate"
    for call in storm.backend.calls:
        assert call.rows == len(call.values) <= limits.max_batch_rows
        assert {guests[int(value)].width for value in call.values} <= {call.inputs[0].shape[1]}


@settings(max_examples=60, deadline=None)
@given(leaves=st.lists(st.one_of(st.none(), _TIMES), min_size=2, max_size=30), limits=_LIMITS)
def test_leavers_never_hurt_batch_mates(leaves: list[float | None], limits: BatchLimits) -> None:
    """With a sound backend and no deadline near, everyone who stays is answered."""
    guests = [
        Guest(
            arrives_s=0.25 * (number % 3),
            rows=1,
            width=2,
            timeout_s=10_000.0,
            leaves_after_s=leave,
            is_poison=False,
        )
        for number, leave in enumerate(leaves)
    ]
    storm = _Storm(guests, [(0.25, False), (1.0, False)])

    async def main() -> None:
        async with open_arm(storm.backend, limits) as arm, asyncio.TaskGroup() as group:
            for number, leave in enumerate(leaves):
                visit = group.create_task(storm.visit(arm, number))
                if leave is not None:
                    arm.loop.call_later(leave, visit.cancel)

    run(main)
    stayers = [number for number, leave in enumerate(leaves) if leave is None]
    if len(leaves) <= limits.max_queued_rows:
        assert [storm.ends[number] for number in stayers] == ["ok"] * len(stayers)
