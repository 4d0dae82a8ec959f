"""One call and its rival: who answers, who is cancelled, and who is told?"""

from __future__ import annotations

import asyncio

import pytest

from gateway.backends.race import Race
from gateway.errors import BackendBusy, BackendUnavailable, GatewayError
from tests.backends.test_replicas import run


class Call:
    """A call that ends as it is told, when it is told."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.begun = asyncio.Event()
        self.was_cancelled = False
        self._may_end = asyncio.Event()
        self._error: GatewayError | None = None

    def end(self, error: GatewayError | None = None) -> None:
        self._error = error
        self._may_end.set()

    async def __call__(self) -> str:
        self.begun.set()
        try:
            await self._may_end.wait()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise
        if self._error is not None:
            raise self._error
        return self.name


class Contest:
    """A race between `first` and `second`, which begins at once; its outcome is `task`'s."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self.first, self.second = Call("first"), Call("second")
        self.race: Race[str] = Race()
        self.task = group.create_task(self._run())

    async def _run(self) -> str | GatewayError:
        try:
            return await self.race.run(self.first(), self.second, patience_s=0.0)
        except GatewayError as error:
            return error


def test_the_first_answer_counts_and_the_other_call_is_cancelled() -> None:
    """Whichever it is; and it has ended by then."""

    async def story() -> None:
        async with asyncio.TaskGroup() as group:
            for quick, slow in (("first", "second"), ("second", "first")):
                contest = Contest(group)
                await contest.second.begun.wait()
                getattr(contest, quick).end()
                assert await contest.task == quick
                assert contest.race.rival_won is (quick == "second")
                assert getattr(contest, slow).was_cancelled
                assert contest.race.waited_s is not None

    run(story)


@pytest.mark.parametrize("failing", ["first", "second"])
def test_an_error_waits_for_the_other_answer(failing: str) -> None:
    """It may still come; how long a failed call took says nothing."""

    async def story() -> None:
        async with asyncio.TaskGroup() as group:
            contest = Contest(group)
            await contest.second.begun.wait()
            other = "second" if failing == "first" else "first"
            getattr(contest, failing).end(BackendUnavailable("gone"))
            await asyncio.sleep(0)
            assert not contest.task.done()
            getattr(contest, other).end()
            assert await contest.task == other
            assert (contest.race.waited_s is None) is (failing == "first")

    run(story)


def test_when_both_fail_the_first_calls_error_is_told() -> None:
    async def story() -> None:
        async with asyncio.TaskGroup() as group:
            contest = Contest(group)
            await contest.second.begun.wait()
            contest.second.end(BackendBusy("full"))
            contest.first.end(BackendUnavailable("gone"))
            assert isinstance(await contest.task, BackendUnavailable)
            assert not contest.race.rival_won

    run(story)


def test_a_caller_that_leaves_cancels_both() -> None:
    """And nobody has won."""

    async def story() -> None:
        async with asyncio.TaskGroup() as group:
            contest = Contest(group)
            await contest.second.begun.wait()
            contest.task.cancel()
        assert contest.first.was_cancelled
        assert contest.second.was_cancelled
        assert not contest.race.is_over
        assert contest.race.waited_s is None

    run(story)


@pytest.mark.parametrize("patience_s", [None, 1e9])
def test_without_end_of_patience_there_is_no_rival(patience_s: float | None) -> None:
    async def story() -> None:
        first, second = Call("first"), Call("second")
        first.end()
        race: Race[str] = Race()
        assert await race.run(first(), second, patience_s=patience_s) == "first"
        assert not race.has_rival
        assert not second.begun.is_set()

    run(story)


def test_where_there_is_no_rival_the_first_call_goes_on() -> None:
    """It is asked for one again, until the call ends."""

    async def story() -> None:
        first, asked = Call("first"), asyncio.Semaphore(0)

        def nobody() -> None:
            asked.release()

        race: Race[str] = Race()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(race.run(first(), nobody, patience_s=0.0))
            for _ in range(3):
                await asked.acquire()
            first.end()
        assert task.result() == "first"
        assert not race.has_rival

    run(story)
