"""A backend that answers as told, and the requests to ask it with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import numpy as np

from gateway.batching import BatchKey, BatchLimits, BatchObserver, BatchQueue, BatchRecord
from gateway.errors import GatewayError
from gateway.messages import Deadline, Served, Trace
from gateway.tensors import Tensor


@dataclass(eq=False)
class Call:
    """One batch that a backend was sent."""

    key: BatchKey
    inputs: tuple[Tensor, ...]
    rows: int
    deadline: Deadline
    traces: Sequence[Trace | None] = ()
    was_cancelled: bool = False
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def values(self) -> list[float]:
        """The first column of the first input: whose rows it carries."""
        return [float(value) for value in self.inputs[0].array[:, 0]]


Answer = Callable[[Call], Awaitable[tuple[Tensor, ...]]]


async def double(call: Call) -> tuple[Tensor, ...]:
    """Answer at once: every value doubled."""
    return (Tensor("y", "FP32", np.multiply(call.inputs[0].array, np.float32(2))),)


def after(seconds: float, answer: Answer = double) -> Answer:
    """Answer so much later."""

    async def answer_later(call: Call) -> tuple[Tensor, ...]:
        await asyncio.sleep(seconds)
        return await answer(call)

    return answer_later


async def when_told(call: Call) -> tuple[Tensor, ...]:
    """Answer when the test sets `call.gate`."""
    await call.gate.wait()
    return await double(call)


def failing(error: Exception) -> Answer:
    """Never answer, but raise."""

    async def fail(_call: Call) -> tuple[Tensor, ...]:
        raise error

    return fail


class FakeBackend:
    """Keeps what it was sent, and answers by `answer`, which a test may replace."""

    def __init__(self, answer: Answer = double) -> None:
        self.answer = answer
        self.calls: list[Call] = []

    async def run_batch(
        self,
        key: BatchKey,
        inputs: tuple[Tensor, ...],
        rows: int,
        deadline: Deadline,
        *,
        traces: Sequence[Trace | None],
    ) -> tuple[Tensor, ...]:
        call = Call(key, inputs, rows, deadline, traces)
        self.calls.append(call)
        try:
            return await self.answer(call)
        except asyncio.CancelledError:
            call.was_cancelled = True
            raise

    @property
    def batches(self) -> list[list[float]]:
        """Per call the values it carried."""
        return [call.values for call in self.calls]


class Arm:
    """A queue on a fake backend, with the records it told."""

    def __init__(
        self,
        backend: FakeBackend,
        limits: BatchLimits | None = None,
        observe: BatchObserver | None = None,
        *,
        cpu_clock: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.records: list[BatchRecord] = []
        self.loop = asyncio.get_running_loop()
        self.queue = BatchQueue(
            "iris/tf",
            limits or BatchLimits(),
            backend.run_batch,
            observe or self.records.append,
            clock=self.loop.time,
            cpu_clock=cpu_clock,
        )

    def expect(self, rows: int) -> None:
        """Let so many rows have come after every answer lately."""
        self.queue._plan.patience.expected = rows

    async def ask(self, *values: float, timeout_s: float = 10.0, width: int = 3) -> list[float]:
        """Submit a request with one row per value; returns the first column of its answer."""
        served = await self.serve(*values, timeout_s=timeout_s, width=width)
        return [float(value) for value in served.outputs[0].array[:, 0]]

    async def serve(self, *values: float, timeout_s: float = 10.0, width: int = 3) -> Served:
        """As `ask`, but returns all that the queue says."""
        inputs = request(*values, width=width)
        deadline = Deadline.after(self.loop.time(), timeout_s)
        return await self.queue.submit(key_of(inputs), inputs, len(values), deadline)


async def outcome(asking: Awaitable[list[float]]) -> list[float] | str:
    """What became of a request: its answer, or its error's class and message."""
    try:
        return await asking
    except GatewayError as error:
        return f"{type(error).__name__}: {error}"


@asynccontextmanager
async def open_arm(
    backend: FakeBackend,
    limits: BatchLimits | None = None,
    observe: BatchObserver | None = None,
    *,
    cpu_clock: Callable[[], float] = lambda: 0.0,
) -> AsyncIterator[Arm]:
    """An arm that is served; at the end it is closed, and must drain."""
    arm = Arm(backend, limits, observe, cpu_clock=cpu_clock)
    async with asyncio.TaskGroup() as group:
        group.create_task(arm.queue.serve())
        yield arm
        arm.queue.close()


def request(*values: float, width: int = 3) -> tuple[Tensor, ...]:
    """One input, `[rows, width]`, every row filled with its value."""
    column = np.array(values, dtype=np.float32).reshape(-1, 1)
    return (Tensor("x", "FP32", np.repeat(column, width, axis=1)),)


def key_of(inputs: tuple[Tensor, ...], *, batchable: bool = True, version: str = "1") -> BatchKey:
    """The key of a request for the default signature."""
    return BatchKey.of(version=version, signature="", inputs=inputs, batchable=batchable)
