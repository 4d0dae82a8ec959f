"""What does the batcher cost per request?

Closed loop: so many callers, each submitting its next request when the last one is answered, to a
backend that answers at once. So the time per request is the batcher's own: the key, the queue, the
plan, joining, cutting, waking the caller, and the event loop's share in that. It is processor time, so
that neighbours on the machine disturb it less.

    python -m loadtests.bench_batching
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Sequence

import numpy as np
import uvloop

from gateway.batching import BatchKey, BatchLimits, BatchQueue, BatchRecord
from gateway.messages import Deadline, Trace
from gateway.tensors import Tensor

_INPUTS = (Tensor("x", "FP32", np.ones((1, 4), np.float32)),)


class _Backend:
    """Answers at once with its input, and counts its batches."""

    def __init__(self) -> None:
        self.batches = 0

    async def run(
        self,
        key: BatchKey,
        inputs: tuple[Tensor, ...],
        rows: int,
        deadline: Deadline,
        *,
        traces: Sequence[Trace | None],
    ) -> tuple[Tensor, ...]:
        del key, rows, deadline, traces
        self.batches += 1
        await asyncio.sleep(0)  # one turn of the loop, as any real call takes
        return (Tensor("y", "FP32", inputs[0].array),)


async def _caller(queue: BatchQueue, requests: int) -> None:
    for _ in range(requests):
        key = BatchKey.of(version="1", signature="", inputs=_INPUTS, batchable=True)
        await queue.submit(key, _INPUTS, 1, Deadline(time.monotonic() + 30))


async def _measure(callers: int, requests: int, max_batch_rows: int) -> tuple[float, float]:
    backend = _Backend()
    limits = BatchLimits(max_batch_rows=max_batch_rows)
    queue = BatchQueue("bench", limits, backend.run, _ignore)
    async with asyncio.TaskGroup() as group:
        group.create_task(queue.serve())
        start = time.process_time()
        async with asyncio.TaskGroup() as calls:
            for _ in range(callers):
                calls.create_task(_caller(queue, requests // callers))
        spent_s = time.process_time() - start
        queue.close()
    sent = requests // callers * callers
    return spent_s / sent * 1e6, sent / backend.batches


def _ignore(_record: BatchRecord) -> None:
    pass


def main() -> None:
    """Print a table: µs per request, by callers and event loop."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--requests", type=int, default=100_000, help="per line of the table")
    parser.add_argument("--max-batch-rows", type=int, default=64)
    arguments = parser.parse_args()
    print(f"{'loop':8} {'callers':>8} {'µs/request':>11} {'rows/batch':>11}")
    for name, loop_factory in (
        ("asyncio", asyncio.new_event_loop),
        ("uvloop", uvloop.new_event_loop),
    ):
        for callers in (1, 64, 1024):
            with asyncio.Runner(loop_factory=loop_factory) as runner:
                cost_us, rows = runner.run(
                    _measure(callers, arguments.requests, arguments.max_batch_rows)
                )
            print(f"{name:8} {callers:8} {cost_us:11.1f} {rows:11.1f}")


if __name__ == "__main__":
    main()
