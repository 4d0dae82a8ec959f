"""Workers share the slots of an arm: as many batches at the backend as with one, and about as large."""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
from pathlib import Path

import httpx
import pytest

from gateway.messages import InferRequest, InferResponse
from tests.fakes.gateways import MODELS
from tests.workers.processes import PREDICT, Crew, against

pytestmark = pytest.mark.slow

ONE_SLOT = (
    MODELS
    + """
[models.tokens.batching]
max_in_flight = 1
"""
)


class Counting:
    """A fault that counts the batches at the backend, and holds them until it is opened."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.now = self.most = self.came = 0

    async def __call__(self, _: InferRequest) -> InferResponse | None:
        self.now += 1
        self.came += 1
        self.most = max(self.most, self.now)
        try:
            await self.opened.wait()
            await asyncio.sleep(0.01)  # the model's work: what the next batch gathers in
        finally:
            self.now -= 1
        return None


def test_what_gathers_in_all_workers_leaves_in_few_batches_one_at_a_time(tmp_path: Path) -> None:
    async def scenario(crew: Crew) -> None:
        crew.backend.fault = counting = Counting()
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(crew.predict(n)) for n in range(40)]

            async def all_accepted() -> bool:
                return await crew.total("tandem_in_flight_requests") == 40

            await crew.until(all_accepted)
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
            asked = [group.create_task(_asked(crew, n)) for n in range(8)]

            async def all_accepted() -> bool:
                return await crew.total("tandem_in_flight_requests") == 8

            await crew.until(all_accepted)
            assert counting.came == 1
            number = await _holder(crew)
            os.kill(crew.pids()[number], signal.SIGKILL)

            async def next_came() -> bool:
                return counting.came == 2

            await crew.until(next_came)
            counting.opened.set()
        answered = [task.result() for task in asked]
        assert answered.count(True) == 4
        assert answered.count(False) == 4

    against(tmp_path, scenario, models=ONE_SLOT)


async def _asked(crew: Crew, number: int) -> bool:
    try:
        answer = await crew.predict(number)
    except (httpx.RemoteProtocolError, httpx.ReadError):
        return False
    return bool(answer.json() == {"predictions": [number]})


async def _holder(crew: Crew) -> int:
    """The worker whose batch is at the backend."""
    folder: dict[int, str] = {
        line["worker"]: line["admin"] for line in crew.log if "unix:" in line.get("admin", "")
    }
    for number, admin in folder.items():
        transport = httpx.AsyncHTTPTransport(uds=admin.removeprefix("unix:"))
        async with httpx.AsyncClient(transport=transport, base_url="http://worker") as client:
            text = (await client.get("/metrics")).text
        if 'tandem_in_flight_batches{arm="tf",model="tokens",role="primary"} 1.0' in text:
            return number
    raise AssertionError("no worker has a batch at the backend")


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
