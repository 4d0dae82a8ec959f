"""A batch that is long at its replica: is another asked, what is counted, and of whom?"""

from __future__ import annotations

import asyncio

import pytest

from gateway.backends.hedging import MIN_ANSWERS, Hedging, size_of
from gateway.backends.replicas import Replicas
from gateway.errors import BackendUnavailable
from gateway.messages import InferRequest
from tests.backends.test_replicas import BATCH, FAR, Replica, Set, away, run
from tests.fakes.gateways import until


class Hedged(Set):
    """Replicas of which is known after how long they answer, and whose budget is full or empty."""

    def __init__(self, *members: Replica, p95_s: float = 0.0, has_budget: bool = True) -> None:
        super().__init__(list(members))
        hedging = Hedging(1.0 if has_budget else 0.01)
        now = asyncio.get_running_loop().time()
        for _ in range(MIN_ANSWERS):
            hedging.learn(size_of(BATCH), p95_s, now=now)
        rolls = iter([0.0, 0.99] * 10_000)
        addresses = dict(zip("abc", members, strict=False))
        assert self.metrics is not None
        self.backend = Replicas(
            "pt", addresses, self.metrics, draw=lambda: next(rolls), hedging=hedging
        )

    def outcomes(self) -> dict[str, float]:
        found = {o: self.count("hedges_total", "a", outcome=o) for o in ("won", "lost", "refused")}
        return {outcome: count for outcome, count in found.items() if count}


def stalled() -> Replica:
    return Replica(go=asyncio.Event())


def test_another_replica_answers_what_one_is_long_over() -> None:
    """The other call is cancelled, counted as outrun, and held against nobody."""

    async def story() -> None:
        slow, well = stalled(), Replica("2")
        both = Hedged(slow, well)
        for _ in range(5):
            assert (await both.backend.infer(BATCH, FAR)).version == "2"
        assert (slow.asked, well.asked) == (5, 5)
        assert both.count("batches_total", "a", reason="outrun") == 5
        assert both.count("batches_total", "b", reason="ok") == 5
        assert both.count("pending_batches", "a") == 0
        assert both.count("in", "a") == 1
        assert both.outcomes() == {"won": 5}

    run(story)


def test_the_first_call_may_still_win() -> None:
    """Then it is the other that was outrun."""

    async def story() -> None:
        slow, slower = stalled(), stalled()
        both = Hedged(slow, slower)
        async with asyncio.TaskGroup() as group:
            call = group.create_task(both.backend.infer(BATCH, FAR))
            await slower.seen.wait()
            assert slow.go is not None
            slow.go.set()
        assert call.result().version == "1"
        assert both.count("batches_total", "b", reason="outrun") == 1
        assert both.count("batches_total", "a", reason="ok") == 1
        assert both.outcomes() == {"lost": 1}

    run(story)


def test_the_budget_is_kept() -> None:
    """A batch beyond it waits for its first call."""

    async def story() -> None:
        slow, other = stalled(), Replica()
        both = Hedged(slow, other, has_budget=False)
        async with asyncio.TaskGroup() as group:
            call = group.create_task(both.backend.infer(BATCH, FAR))
            await until(lambda: bool(both.outcomes()))
            assert slow.go is not None
            slow.go.set()
        assert call.result().version == "1"
        assert both.outcomes() == {"refused": 1}
        assert other.asked == 0

    run(story)


def test_an_unreachable_first_replica_waits_for_its_hedge() -> None:
    """And the batch, sent twice by then, is sent to nobody else."""

    async def story() -> None:
        dying, slow, third = stalled(), stalled(), Replica()
        every = Hedged(dying, slow, third)
        every.backend._roster.pending[2] = 1  # so the second is chosen for the hedge
        async with asyncio.TaskGroup() as group:
            call = group.create_task(every.backend.infer(BATCH, FAR))
            await slow.seen.wait()
            dying.error = away()
            assert dying.go is not None
            assert slow.go is not None
            dying.go.set()
            await until(
                lambda: every.count("batches_total", "a", reason="backend_unavailable") == 1
            )
            slow.go.set()
        assert call.result().version == "1"
        assert third.asked == 0
        assert every.outcomes() == {"won": 1}

    run(story)


async def refused(backends: Set) -> None:
    with pytest.raises(BackendUnavailable):
        await backends.backend.infer(BATCH, FAR)


def test_when_both_are_unreachable_there_is_no_third_call() -> None:
    async def story() -> None:
        dying, dead, third = stalled(), Replica(error=away()), Replica()
        every = Hedged(dying, dead, third)
        every.backend._roster.pending[2] = 1
        async with asyncio.TaskGroup() as group:
            group.create_task(refused(every))
            await dead.seen.wait()
            dying.error = away()
            assert dying.go is not None
            dying.go.set()
        assert (dying.asked, dead.asked, third.asked) == (1, 1, 0)

    run(story)


def test_an_unreachable_replica_is_retried_as_without_hedging() -> None:
    """Once, at once; its time is not learned from."""

    async def story() -> None:
        both = Hedged(Replica(error=away()), Replica("2"), p95_s=20.0)
        assert (await both.backend.infer(BATCH, FAR)).version == "2"
        assert both.outcomes() == {}

    run(story)


def test_a_caller_that_leaves_cancels_both_calls() -> None:
    """Neither was outrun, and neither is held against its replica."""

    async def story() -> None:
        slow, slower = stalled(), stalled()
        both = Hedged(slow, slower)
        async with asyncio.TaskGroup() as group:
            call = group.create_task(both.backend.infer(BATCH, FAR))
            await slower.seen.wait()
            call.cancel()
        for replica in "ab":
            assert both.count("batches_total", replica, reason="caller_left") == 1
            assert both.count("pending_batches", replica) == 0
            assert both.count("in", replica) == 1
        assert both.outcomes() == {"lost": 1}

    run(story)


def test_who_is_out_or_lacks_the_model_is_not_asked() -> None:
    """A hedge is a favour; it is not worth a guess."""

    async def story() -> None:
        well, out = Replica(), Replica(error=away())
        both = Hedged(well, out)
        await both.backend.describe("iris", None)
        out.error, well.go = None, asyncio.Event()
        async with asyncio.TaskGroup() as group:
            call = group.create_task(both.backend.infer(BATCH, FAR))
            await well.seen.wait()
            for _ in range(20):  # turns of the loop; the p95 takes one
                await asyncio.sleep(0)
            well.go.set()
        assert call.result().version == "1"
        assert out.asked == 0
        assert both.outcomes() == {}

    run(story)


def test_a_batch_that_does_not_fit_is_never_sent_twice() -> None:
    """It may be the end of whom it is sent to."""

    async def story() -> None:
        misfit = InferRequest(model="iris", inputs=BATCH.inputs, as_is=True)
        first, other = Replica(error=away()), Replica()
        both = Hedged(first, other)
        with pytest.raises(BackendUnavailable):
            await both.backend.infer(misfit, FAR)
        assert (first.asked, other.asked) == (1, 0)

    run(story)


def test_batches_that_leave_together_go_to_different_replicas() -> None:
    async def story() -> None:
        a, b = stalled(), stalled()
        both = Hedged(a, b, p95_s=100.0)
        async with asyncio.TaskGroup() as group:
            for _ in range(2):
                group.create_task(both.backend.infer(BATCH, FAR))
            await until(lambda: a.asked + b.asked == 2)
            assert (a.asked, b.asked) == (1, 1)
            assert (both.count("pending_batches", "a"), both.count("pending_batches", "b")) == (
                1,
                1,
            )
            for replica in (a, b):
                assert replica.go is not None
                replica.go.set()
        assert (both.count("pending_batches", "a"), both.count("pending_batches", "b")) == (0, 0)

    run(story)
