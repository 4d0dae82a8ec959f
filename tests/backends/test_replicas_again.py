"""A batch that its replica could not take, or lost: who is asked again, and how often?"""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import BackendUnavailable, UnknownModel
from gateway.messages import Deadline
from tests.backends.test_replicas import BATCH, FAR, Replica, Set, away, run


def test_a_batch_is_sent_twice_at_most() -> None:
    """Each attempt counts, and the third replica never hears of a batch that two could not take."""

    async def story() -> None:
        every = Set([Replica(error=away()), Replica(error=away()), Replica(error=away())])
        for _ in range(3):
            with pytest.raises(BackendUnavailable):
                await every.backend.infer(BATCH, FAR)
        assert sum(member.asked for member in every.members) == 6
        assert (
            sum(every.count("batches_total", r, reason="backend_unavailable") for r in "abc") == 6
        )

    run(story)


def test_a_batch_is_not_sent_again_after_its_deadline() -> None:
    async def story() -> None:
        late = Deadline(asyncio.get_running_loop().time())
        dead, well = Replica(error=away(), deadline=late), Replica()
        both = Set([dead, well])
        with pytest.raises(BackendUnavailable):
            await both.backend.infer(BATCH, late)
        assert (dead.asked, well.asked) == (1, 0)

    run(story)


def test_a_batch_is_sent_again_to_who_is_out_rather_than_not_at_all() -> None:
    """But not to a replica that lacks the model."""

    async def story() -> None:
        one, out = Replica(), Replica(error=away())
        both = Set([one, out])
        await both.backend.describe("iris", None)
        assert both.count("in", "b") == 0
        one.error, out.error = away(), None
        assert (await both.backend.infer(BATCH, FAR)).version == "1"
        assert (one.asked, out.asked) == (1, 1)
        one.error, out.error = None, UnknownModel("not here")
        await both.backend.describe("iris", None)
        one.error, out.error = away(), None
        with pytest.raises(BackendUnavailable):
            await both.backend.infer(BATCH, FAR)
        assert out.asked == 1

    run(story)
