"""Workers share the slots of an arm: as many batches at the backend as with one, and about as large."""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
from pathlib import Path

import pytest

from tests.workers.processes import ONE_SLOT, PREDICT, Counting, Crew, against, answers, holder

pytestmark = pytest.mark.slow


def test_what_gathers_in_all_workers_leaves_in_few_batches_one_at_a_time(tmp_path: Path) -> None:
    async def scenario(crew: Crew) -> None:
        crew.backend.fault = counting = Counting()
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(crew.predict(n)) for n in range(40)]
            await crew.until_accepted(40)
            assert await crew.total("tandem_in_flight_batches", model="tokens") == 1
            counting.opened.set()
        assert [task.result().json() for task in asked] == [{"predictions": [n]} for n in range(40)]
        assert counting.most == 1
        assert len(crew.backend.batches) <= 4  # the first ones were small, by whoever came first
        assert sum(crew.backend.batches) == 40

    against(tmp_path, scenario, models=ONE_SLOT)


def test_the_slot_of_a_worker_that_dies_is_free(tmp_path: Path) -> None:
    """Its own requests are lost, those of the others are answered."""

    async def scenario(crew: Crew) -> None:
        crew.backend.fault = counting = Counting()
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(answers(crew, n)) for n in range(8)]
            await crew.until_accepted(8)
            assert counting.came == 1
            number = await holder(crew)
            lost = await crew.total("tandem_worker_connections_total", worker=str(number))
            os.kill(crew.pids()[number], signal.SIGKILL)

            async def next_came() -> bool:
                return counting.came == 2

            await crew.until(next_came)
            counting.opened.set()
        answered = [task.result() for task in asked]
        assert answered.count(False) == lost

    against(tmp_path, scenario, models=ONE_SLOT)


def test_batches_of_two_workers_are_about_as_large_as_those_of_one(tmp_path: Path) -> None:
    rows: dict[int, float] = {}

    async def scenario(crew: Crew) -> None:
        crew.backend.fault = counting = Counting()
        counting.opened.set()
        async with asyncio.TaskGroup() as group:
            for number in range(32):
                group.create_task(_calls(crew, number))
        assert counting.most == 1
        rows[len(crew.pids())] = statistics.fmean(crew.backend.batches)

    against(tmp_path, scenario, models=ONE_SLOT, workers=1)  # without a supervisor
    against(tmp_path, scenario, models=ONE_SLOT, workers=2)
    assert rows[2] > rows[0] / 2  # with slots of their own: half of it, and two at a time


async def _calls(crew: Crew, number: int) -> None:
    async with crew.client() as client:
        for _ in range(15):
            answer = await client.post(PREDICT, json={"instances": [[number]]})
            assert answer.json() == {"predictions": [number]}
