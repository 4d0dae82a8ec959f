"""Workers that share a slot refuse at once what they could not answer in time, though each sees its own queue only."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from random import Random

import httpx
import pytest

from gateway.messages import InferRequest
from tests.fakes.gateways import MODELS
from tests.workers.processes import PREDICT, Crew, against

pytestmark = pytest.mark.slow

_BATCHING = """
[models.tokens.batching]
max_batch_rows = 4
max_in_flight = 1
"""
_TOLD = {"x-tandem-timeout-ms": "600"}


async def _slow(_: InferRequest) -> None:
    """40 rows a second, in batches of four."""
    await asyncio.sleep(0.1)


def test_most_of_what_is_too_much_for_all_workers_is_refused_at_once(tmp_path: Path) -> None:
    """Three times of what the backend can do; what was accepted and not answered in time is the smaller part."""
    outcomes: Counter[int] = Counter()

    async def ask(client: httpx.AsyncClient, at: float) -> None:
        body = {"instances": [[1]]}
        answer = await client.post(PREDICT, json=body, headers=_TOLD)
        if at > 2:  # s: by then it is known how long a batch takes
            outcomes[answer.status_code] += 1

    async def scenario(crew: Crew) -> None:
        crew.backend.fault = _slow
        rng, at = Random(1), 0.0
        limits = httpx.Limits(max_connections=None)
        loop = asyncio.get_running_loop()
        begin = loop.time()
        async with (
            httpx.AsyncClient(
                base_url=f"http://{crew.addresses['rest']}", limits=limits, timeout=30
            ) as client,
            asyncio.TaskGroup() as group,
        ):
            while (at := at + rng.expovariate(120.0)) < 6:
                await asyncio.sleep(begin + at - loop.time())
                group.create_task(ask(client, at))

    against(tmp_path, scenario, models=MODELS + _BATCHING, workers=3)
    assert outcomes[200] > 0
    assert outcomes[504] < 0.3 * outcomes[429]
