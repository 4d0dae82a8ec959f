"""Two real replicas behind a running gateway: one dies, is put out, comes back and is taken in again."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from gateway.app import Gateway
from gateway.backends import replicas
from gateway.control import reconcile
from gateway.control.source import ConfigFile
from tests.fakes.arithmetic import Arithmetic, serving
from tests.fakes.gateways import LISTEN, sample, until

SETTINGS = """
[backends.pair]
kind = "tfserving"
address = "{one}"
replicas = ["{other}"]
[models.floats.arms.only]
backend = "pair"
[models.floats.batching]
max_in_flight = 4
"""
PATH = "/v1/models/floats:predict"
BODY = {"instances": [[1, 2, 3, 4]]}


async def failures(client: httpx.AsyncClient, count: int) -> list[str]:
    """What was answered to those of so many requests that failed, four at a time."""
    found: list[str] = []
    for _ in range(count // 4):
        async with asyncio.TaskGroup() as group:
            four = [group.create_task(client.post(PATH, json=BODY)) for _ in range(4)]
        found += [task.result().text for task in four if task.result().is_error]
    return found


def test_a_replica_that_dies_costs_nobody_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor before: the other one answers what was on its way. When it is back, it takes its share again."""
    monkeypatch.setattr(reconcile, "ASK_EVERY_S", 0.2)
    monkeypatch.setattr(replicas, "_PROBE_TIMEOUT_S", 20.0)  # a busy machine is not a dead replica

    async def story() -> None:
        one, other = Arithmetic(), Arithmetic()
        async with AsyncExitStack() as stack:
            dying = await stack.enter_async_context(AsyncExitStack())
            await dying.enter_async_context(serving(one))
            await stack.enter_async_context(serving(other))
            path = tmp_path / "tandem.toml"
            path.write_text(LISTEN + SETTINGS.format(one=one.address, other=other.address))
            file = ConfigFile(path)
            gateway = await stack.enter_async_context(Gateway(file, file.load()))
            client = httpx.AsyncClient(base_url=f"http://{gateway.addresses['rest']}", timeout=30)
            await stack.enter_async_context(client)

            def of(replica: Arithmetic, name: str, **labels: str) -> float:
                wanted = {"backend": "pair", "replica": replica.address, **labels}
                return sample(gateway, f"tandem_replica_{name}", **wanted)

            assert not await failures(client, 40)
            assert len(one.batches) == of(one, "batches_total", reason="ok") > 0
            assert len(other.batches) == of(other, "batches_total", reason="ok") > 0

            await dying.aclose()
            while of(one, "in"):  # each round ends, and three failures or one probe put it out
                assert not await failures(client, 4)
            ejections = of(one, "ejections_total")
            assert ejections == 1
            assert of(one, "pending_batches") == 0
            assert not await failures(client, 100)
            assert of(one, "in") == 0
            assert of(one, "ejections_total") == ejections

            await stack.enter_async_context(serving(one, one.address))
            await until(lambda: of(one, "in") == 1)
            before = len(one.batches)
            assert not await failures(client, 40)
            assert len(one.batches) > before
            assert of(one, "ejections_total") == ejections

    asyncio.run(story())
