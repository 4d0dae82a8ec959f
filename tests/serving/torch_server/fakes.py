"""A worker without a process: its test says when and what it answers, and when it dies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import numpy as np

from gateway.tensors import Array
from serving.torch_server.frames import Buffer, Frame, FrameReader
from serving.torch_server.pool import PoolSettings
from serving.torch_server.ports import WorkerLost

__all__ = ["FakeWorker", "FakeWorkers", "settings"]


def settings(runners: int = 1, max_queued: int = 4) -> PoolSettings:
    """Settings whose timeouts are long."""
    return PoolSettings(
        runners=runners, max_queued=max_queued, load_timeout_s=3600.0, run_timeout_s=3600.0
    )


def logits(frame: Frame) -> tuple[Array, ...]:
    """What the MLP would say: as many rows as came, each with three numbers."""
    return (np.repeat(frame.tensors[0][:, :1], 3, axis=1),)


def load_well(frame: Frame) -> Frame:
    """The answer of a sound package to its load and its warm-up calls."""
    if frame.kind == "load":
        return Frame("ready")
    return Frame("answer", {"run_ms": 1.0}, logits(frame))


class FakeWorker:
    """Answers its load and warm-up at once, and then only when the test says so."""

    def __init__(self, workers: FakeWorkers) -> None:
        self.on_idle: Callable[[], None] = _do_nothing
        self.answered = 0
        self.running: Frame | None = None
        self._workers = workers
        self._answer: asyncio.Future[Frame] | None = None
        self._lost = asyncio.Event()

    @property
    def is_lost(self) -> bool:
        return self._lost.is_set()

    async def ask(self, frame: Frame, timeout_s: float) -> Frame:
        assert timeout_s > 0
        await asyncio.sleep(self._workers.load_s)
        if self._workers.dies_loading:
            self._lost.set()
            raise WorkerLost(self.wait_gone)
        return self._workers.at_load(frame)

    def call(
        self, buffers: Sequence[Buffer], answer: asyncio.Future[Frame], timeout_s: float
    ) -> None:
        assert timeout_s > 0
        assert self.running is None, "a worker is asked one thing at a time"
        if self.is_lost:
            answer.set_exception(WorkerLost(self.wait_gone))
            return
        self.running, self._answer = _decoded(buffers), answer
        self._workers.started.append(self.running)

    async def wait_gone(self) -> str:
        await self._lost.wait()
        return "died of SIGSEGV"

    def finish(self, frame: Frame | None = None) -> None:
        """Answer what runs."""
        assert self.running is not None
        assert self._answer is not None
        answer = frame or Frame("answer", {"run_ms": 2.0}, logits(self.running))
        waiting, self.running, self._answer = self._answer, None, None
        self.answered += 1
        if not waiting.done():
            waiting.set_result(answer)
        self.on_idle()

    def die(self) -> None:
        """Go away, whatever runs."""
        self._lost.set()
        waiting, self.running, self._answer = self._answer, None, None
        if waiting is not None and not waiting.done():
            waiting.set_exception(WorkerLost(self.wait_gone))


class FakeWorkers:
    """Starts fake workers; `living` are those that were not ended, `at_load` is how they load and warm."""

    def __init__(self) -> None:
        self.living: list[FakeWorker] = []
        self.started: list[Frame] = []  # every batch that reached a worker
        self.starts: list[float] = []  # when each worker was started
        self.load_s = 0.0
        self.dies_loading = False
        self.at_load: Callable[[Frame], Frame] = load_well

    @asynccontextmanager
    async def start(self) -> AsyncIterator[FakeWorker]:
        self.starts.append(asyncio.get_running_loop().time())
        worker = FakeWorker(self)
        self.living.append(worker)
        try:
            yield worker
        finally:
            self.living.remove(worker)

    @property
    def busy(self) -> list[FakeWorker]:
        return [worker for worker in self.living if worker.running is not None]


def _do_nothing() -> None:
    pass


def _decoded(buffers: Sequence[Buffer]) -> Frame:
    reader = FrameReader()
    data = b"".join(buffers)
    while True:
        count = min(len(reader.buffer), len(data))
        reader.buffer[:count] = data[:count]
        data = data[count:]
        if (frame := reader.advance(count)) is not None:
            return frame
