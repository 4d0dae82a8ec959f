"""What a lane books of its batches."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path

import numpy as np

from gateway.batching import BatchKey
from gateway.messages import Deadline
from gateway.tensors import Tensor
from tests.fakes.gateways import Stack, against, until


def test_a_batch_that_everybody_left_before_it_was_sent_is_not_counted(tmp_path: Path) -> None:
    """Its callers leave in the turn of the event loop in which it is formed."""

    async def scenario(stack: Stack) -> None:
        queue = stack.gateway.pipeline.scene.lanes["tokens", "tf"].queue
        tensor = Tensor("x", "FP32", np.zeros((1, 2), np.float32))
        key = BatchKey.of(version=None, signature="", inputs=(tensor,), batchable=True)
        async with asyncio.TaskGroup() as group:
            leaver = group.create_task(queue.submit(key, (tensor,), 1, Deadline(math.inf)))
            await asyncio.sleep(0)  # it submits, which schedules the batch
            await asyncio.sleep(0)  # the batch is formed
            assert queue.in_flight == 1
            leaver.cancel()
        await until(lambda: not queue.in_flight)
        assert queue.statistics().left == 1
        assert stack.count("tandem_batches_total") == 0
        assert stack.count("tandem_batch_departures_total") == 0

    against(tmp_path, scenario)
