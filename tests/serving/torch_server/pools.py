"""Requests to a pool of fake workers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeAlias

import numpy as np

from gateway.errors import GatewayError
from gateway.messages import Deadline
from serving.torch_server.contract import Contract
from serving.torch_server.frames import Frame
from serving.torch_server.pool import Answer, Pool, PoolSettings
from tests.batching.virtual_time import settle
from tests.serving.torch_server.fakes import FakeWorkers, settings
from tests.serving.torch_server.stores import MLP

__all__ = ["Asked", "ask", "ask_forgiving", "asking", "first_value", "make_pool"]

CONTRACT = Contract.of("mlp", MLP)
NEVER = Deadline(1e9)
Asked: TypeAlias = "asyncio.Task[Answer | GatewayError]"


def make_pool(workers: FakeWorkers, chosen: PoolSettings | None = None) -> Pool:
    """A pool that serves the MLP."""
    return Pool(CONTRACT, Frame("load"), chosen or settings(), name="mlp/1", start=workers.start)


async def ask(pool: Pool, value: float, deadline: Deadline = NEVER) -> Answer:
    """Two rows of this value."""
    return await pool.run((np.full((2, 4), value, np.float32),), deadline)


@asynccontextmanager
async def asking(pool: Pool, *values: float) -> AsyncIterator[list[Asked]]:
    """Requests that were sent, and are cancelled at the end."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(ask_forgiving(pool, value)) for value in values]
        await settle()
        yield tasks
        for task in tasks:
            task.cancel()


async def ask_forgiving(pool: Pool, value: float) -> Answer | GatewayError:
    """An error is a result for the test to look at, and does not end the group."""
    try:
        return await ask(pool, value)
    except GatewayError as exc:
        return exc


async def first_value(asked: Asked) -> float:
    """The value that was asked with, as it came back."""
    answer = await asked
    assert isinstance(answer, Answer)
    return float(answer.outputs[0][0, 0])
