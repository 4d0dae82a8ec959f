"""A replica is put out while batches are at it: who answers those, and how often are they sent?"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from gateway.backends import replicas
from gateway.backends.standing import MAX_FAILURES
from gateway.errors import BackendError, BackendUnavailable
from gateway.messages import Deadline, InferRequest, InferResponse, ModelDescription
from tests.backends.test_hedged_replicas import Hedged
from tests.backends.test_replicas import BATCH, FAR, Replica, Set, away, run
from tests.fakes.gateways import until


@dataclass
class Hanging(Replica):
    """Begins no more than it is asked: its batches wait for `answer`; its probe fails unless `is_ready`."""

    is_ready: bool = True
    answer: asyncio.Event = field(default_factory=asyncio.Event)

    async def infer(self, batch: InferRequest, deadline: Deadline) -> InferResponse:
        assert deadline is self.deadline
        self.asked += 1
        self.seen.set()
        if self.error is not None:
            raise self.error
        await self.answer.wait()
        return InferResponse(model=batch.model, version=self.version, outputs=())

    async def describe(self, model: str, version: str | None) -> ModelDescription:
        if not self.is_ready:
            raise away()
        return await super().describe(model, version)


async def asked(group: asyncio.TaskGroup, backends: Set, *replicas: Hanging) -> asyncio.Task[str]:
    """A batch is sent, and these are reached."""

    async def version() -> str:
        return (await backends.backend.infer(BATCH, FAR)).version

    call = group.create_task(version())
    for replica in replicas:
        await replica.seen.wait()
    return call


async def probed(backends: Set, *out: Hanging) -> None:
    for replica in out:
        replica.is_ready = False
    try:
        await backends.backend.describe("iris", None)
    except BackendError:
        assert all(isinstance(m, Hanging) and not m.is_ready for m in backends.members)


def test_what_is_at_a_replica_that_is_put_out_is_asked_of_another() -> None:
    """At once, and the call at the first is ended."""

    async def story() -> None:
        hung, well = Hanging(), Replica("2")
        both = Set([hung, well])
        async with asyncio.TaskGroup() as group:
            calls = [await asked(group, both, hung)]
            well.go = asyncio.Event()  # so that the next batches find it busy
            calls += [group.create_task(_version(both)) for _ in range(3)]
            await until(lambda: hung.asked + well.asked == 4)
            well.go.set()
            await probed(both, hung)
        assert {call.result() for call in calls} == {"2"}
        moved = both.count("batches_total", "a", reason="failed_over")
        assert moved == hung.asked > 0
        assert both.count("batches_total", "b", reason="ok") == 4
        assert both.count("pending_batches", "a") == both.count("pending_batches", "b") == 0

    run(story)


async def _version(backends: Set) -> str:
    return (await backends.backend.infer(BATCH, FAR)).version


def test_where_nobody_else_is_in_it_stays_until_somebody_is() -> None:
    """A guess that may be wrong costs what is known to be under way."""

    async def story() -> None:
        hung, other = Hanging(), Hanging("2")
        both = Set([hung, other])
        other.answer.set()
        async with asyncio.TaskGroup() as group:
            call = await asked(group, both, hung)
            await probed(both, hung, other)
            await probed(both, hung, other)
            assert (hung.asked, other.asked, call.done()) == (1, 0, False)
            other.is_ready = True
            await both.backend.describe("iris", None)
        assert call.result() == "2"
        assert (hung.asked, other.asked) == (1, 1)

    run(story)


def test_a_replica_that_cannot_be_reached_any_more_loses_what_it_holds() -> None:
    """As many failures as put it out are told of the calls that hang, too."""

    async def story() -> None:
        hung, well = Hanging(), Replica("2")
        both = Set([hung, well])
        async with asyncio.TaskGroup() as group:
            call = await asked(group, both, hung)
            hung.error = away()
            both.backend._roster.pending[1] += 1_000  # the next go to the first, too
            for _ in range(MAX_FAILURES):
                await both.backend.infer(BATCH, FAR)
        assert call.result() == "2"
        assert both.count("batches_total", "a", reason="failed_over") == 1

    run(story)


def test_it_is_sent_twice_at_most() -> None:
    """A second replica that is put out keeps it: who hung over it twice would hang a third time."""

    async def story() -> None:
        first, second, third = Hanging(), Hanging(), Replica()
        every = Set([first, second, third])
        every.backend._roster.pending[2] += 1_000
        async with asyncio.TaskGroup() as group:
            call = await asked(group, every, first)
            await probed(every, first)
            await second.seen.wait()
            await probed(every, first, second)
            second.answer.set()
        assert call.result() == "1"
        assert (first.asked, second.asked, third.asked) == (1, 1, 0)

    run(story)


@pytest.mark.parametrize("turns", range(6))
def test_a_caller_that_leaves_meanwhile_is_gone(turns: int) -> None:
    """Wherever its batch is by then; nothing of it is left at any replica."""

    async def story() -> None:
        hung, second = Hanging(), Hanging("2")
        both = Set([hung, second])
        async with asyncio.TaskGroup() as group:
            call = await asked(group, both, hung)
            hung.is_ready = False
            probe = group.create_task(both.backend.describe("iris", None))
            await until(lambda: both.count("in", "a") == 0)
            for _ in range(turns):
                await asyncio.sleep(0)
            call.cancel()
            await asyncio.wait([call, probe])
        assert call.cancelled()
        assert both.count("pending_batches", "a") == both.count("pending_batches", "b") == 0
        left = sum(both.count("batches_total", r, reason="caller_left") for r in "ab")
        assert left + both.count("batches_total", "a", reason="failed_over") == 1 + second.asked

    run(story)


ONCE = {
    "a misfit": InferRequest(model="iris", inputs=BATCH.inputs, as_is=True),
    "a step": InferRequest(model="iris", inputs=BATCH.inputs, parameters={"sequence_id": 7}),
}


@pytest.mark.parametrize("kind", list(ONCE))
@pytest.mark.parametrize("hedges", [False, True])
def test_what_may_not_be_repeated_stays_where_it_is(kind: str, *, hedges: bool) -> None:
    """A misfit may be why the replica hangs; a step of a sequence may have changed what is kept there."""

    async def story() -> None:
        hung, well = Hanging(), Replica("2")
        both = Hedged(hung, well) if hedges else Set([hung, well])
        async with asyncio.TaskGroup() as group:
            call = group.create_task(both.backend.infer(ONCE[kind], FAR))
            await hung.seen.wait()
            await probed(both, hung)
            hung.answer.set()
        assert call.result().version == "1"
        assert (hung.asked, well.asked) == (1, 0)

    run(story)


@pytest.mark.parametrize("kind", list(ONCE))
@pytest.mark.parametrize("hedges", [False, True])
def test_what_may_not_be_repeated_is_lost_with_its_replica(kind: str, *, hedges: bool) -> None:
    """Whether it was computed nobody knows."""

    async def story() -> None:
        dead, well = Replica(error=away()), Replica("2")
        both = Hedged(dead, well) if hedges else Set([dead, well])
        with pytest.raises(BackendUnavailable):
            await both.backend.infer(ONCE[kind], FAR)
        assert (dead.asked, well.asked) == (1, 0)

    run(story)


async def asked_without_a_hedge(
    group: asyncio.TaskGroup,
) -> tuple[asyncio.Task[str], Hedged, Hanging]:
    """A batch hangs, and the budget has refused it a second call."""
    hung = Hanging()
    both = Hedged(hung, Replica("2"), has_budget=False)
    call = await asked(group, both, hung)
    await until(lambda: bool(both.outcomes()))
    return call, both, hung


def test_with_hedging_too() -> None:
    """Where the budget is spent; else the hedge is there already."""

    async def story() -> None:
        async with asyncio.TaskGroup() as group:
            call, both, hung = await asked_without_a_hedge(group)
            await probed(both, hung)
        assert call.result() == "2"
        assert both.outcomes() == {"refused": 1}
        assert both.count("batches_total", "a", reason="failed_over") == 1

    run(story)


def test_a_hedge_that_was_refused_is_taken_when_there_is_room() -> None:
    """By the same batch; it is counted as refused once, whatever it was before."""

    async def story() -> None:
        async with asyncio.TaskGroup() as group:
            call, both, _ = await asked_without_a_hedge(group)
            hedging = both.backend._hedging
            assert hedging is not None
            for _ in range(100):
                hedging.start(("another", 0, 0), now=0.0, until=0.0)
        assert call.result() == "2"
        assert both.outcomes() == {"refused": 1, "won": 1}

    run(story)


def test_what_both_cannot_answer_fails() -> None:
    """The error is the second one's."""

    async def story() -> None:
        hung, dead = Hanging(), Replica(error=BackendUnavailable("the other"))
        both = Set([hung, dead])
        async with asyncio.TaskGroup() as group:
            call = group.create_task(_refused(both))
            await hung.seen.wait()
            both.backend._roster.probed(0, ready=False)
            both.backend._roster.move_on()
        assert call.result() == "the other"

    run(story)


async def _refused(backends: Set) -> str:
    with pytest.raises(BackendUnavailable) as refused:
        await backends.backend.infer(BATCH, FAR)
    return refused.value.message


def test_a_replica_that_hangs_keeps_nobody_from_telling_the_versions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A TF Serving is asked for them before it is probed: it would never be found out."""
    monkeypatch.setattr(replicas, "_PROBE_TIMEOUT_S", 0.02)

    async def story() -> None:
        both = Set([Replica("1", go=asyncio.Event()), Replica("2")])
        async with asyncio.timeout(20):
            (status,) = await both.backend.versions("iris")
        assert status.version == "2"

    run(story)
