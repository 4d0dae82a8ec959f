"""Two real servers, one of which stalls: what do callers and the other server see?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from gateway.backend_config import BackendConfig
from gateway.backends.hedging import MIN_ANSWERS
from gateway.backends.make import make_backend
from gateway.messages import Deadline, InferRequest, InferResponse
from gateway.ports import Backend
from gateway.telemetry.replicas import ReplicaMetrics
from gateway.tensors import Tensor
from tests.fakes.arithmetic import Arithmetic, serving

BATCH = InferRequest(model="floats", inputs=(Tensor("x", "FP32", np.ones((1, 4), np.float32)),))


class Stall:
    """A fault: from when it is begun no batch is answered; counts those whose call was cancelled."""

    def __init__(self) -> None:
        self.has_begun = False
        self.cancelled = 0

    async def __call__(self, _: InferRequest) -> InferResponse | None:
        if self.has_begun:
            try:
                await asyncio.Event().wait()
            finally:
                self.cancelled += 1
        return None


@asynccontextmanager
async def pair(
    kind: Literal["tfserving", "oip"],
    one: Arithmetic,
    other: Arithmetic,
    registry: CollectorRegistry,
) -> AsyncIterator[Backend]:
    async with serving(one), serving(other):
        config = BackendConfig(
            kind=kind, address=one.address, replicas=(other.address,), max_hedge_ratio=1.0
        )
        backend = make_backend("pair", config, ReplicaMetrics(registry))
        try:
            yield backend
        finally:
            await backend.aclose()


@pytest.mark.parametrize("kind", ["tfserving", "oip"])
def test_a_server_that_stalls_keeps_nobody_waiting(kind: Literal["tfserving", "oip"]) -> None:
    """Every batch is answered by the other, and the call that was outrun is cancelled at its server."""

    async def story() -> None:
        registry, stall = CollectorRegistry(), Stall()
        stalling, well = Arithmetic(fault=stall), Arithmetic()
        async with asyncio.timeout(60), pair(kind, stalling, well, registry) as backend:
            deadline = Deadline.after(asyncio.get_running_loop().time(), 50)
            while min(len(stalling.batches), len(well.batches)) < MIN_ANSWERS:
                await backend.infer(BATCH, deadline)
            stall.has_begun = True
            before = len(stalling.batches)
            while len(stalling.batches) < before + 5:
                answer = await backend.infer(BATCH, deadline)
                assert answer.outputs[0].array.tolist() == [[3.0] * 4]
            while stall.cancelled < 5:  # noqa: ASYNC110  # the server hears of it in its own time
                await asyncio.sleep(0.001)
            labels = {"backend": "pair", "replica": stalling.address}
            won = registry.get_sample_value(
                "tandem_replica_hedges_total", {**labels, "outcome": "won"}
            )
            assert won is not None
            assert won >= 5
            assert registry.get_sample_value("tandem_replica_in", labels) == 1

    asyncio.run(story())
