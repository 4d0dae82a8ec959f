"""What requests brought to be found again reaches the backend call that carries them."""

from __future__ import annotations

import asyncio
import math

from gateway.batching import BatchLimits
from gateway.messages import Deadline, Trace
from tests.batching.fakes import Arm, FakeBackend, key_of, request
from tests.batching.virtual_time import run

ONE, OTHER = Trace(request_id="1"), Trace(request_id="2")


def test_a_batch_is_told_the_trace_of_each_of_its_requests() -> None:
    """In the order of its rows; None for one that brought nothing."""

    async def main() -> None:
        backend = FakeBackend()
        arm = Arm(backend, BatchLimits(max_batch_rows=4))
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(arm.queue.serve())
            calls = []
            for value, trace in ((1.0, ONE), (2.0, None), (3.0, OTHER)):
                inputs = request(value)
                call = arm.queue.submit(key_of(inputs), inputs, 1, Deadline(math.inf), trace=trace)
                calls.append(group.create_task(call))
            await asyncio.gather(*calls)
            inputs = request(*[float(n) for n in range(6)])
            await arm.queue.submit(key_of(inputs), inputs, 6, Deadline(math.inf), trace=ONE)
            arm.queue.close()
            await serving
        assert [list(call.traces) for call in backend.calls] == [[ONE, None, OTHER], [ONE], [ONE]]

    run(main)
