"""One version's worker processes, and the bounded queue in front of them.

A job goes to a worker that has nothing to do, one at a time, so a crash loses one batch and no more; the
worker that was busy last is asked first, because its caches are warm. A worker that dies is replaced at
once; when one after another dies without an answer, after a pause that doubles.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from gateway.errors import (
    BackendError,
    BackendInvalid,
    BackendRefused,
    BackendUnavailable,
    DeadlineExceeded,
    NotReady,
    QueueFull,
)
from gateway.messages import Deadline
from gateway.tensors import Array
from gateway.values import value_class
from serving.torch_server.contract import Contract
from serving.torch_server.frames import Buffer, Frame, encode_frame
from serving.torch_server.logs import log
from serving.torch_server.package import PackageRefused
from serving.torch_server.ports import StartWorker, Worker, WorkerLost

__all__ = ["Answer", "Pool", "PoolSettings", "pause_s"]

_MAX_PAUSE_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings:
    """How many workers a pool has, and the bounds on what waits and how long."""

    runners: int
    max_queued: int
    load_timeout_s: float
    run_timeout_s: float


@value_class(kw_only=True)
class Answer:
    """What a worker gave: the outputs in the package's order, the time it ran, the time it waited."""

    outputs: tuple[Array, ...]
    run_ms: float
    queue_s: float


@dataclass(slots=True)
class _Job:
    buffers: Sequence[Buffer]
    answer: asyncio.Future[Frame]
    sent_at: float | None = None

    def expire(self) -> None:
        if not self.answer.done():
            self.answer.set_exception(TimeoutError())


def pause_s(failures: int) -> float:
    """How long to wait before a worker is started again, after so many that never answered."""
    return 0.0 if failures <= 1 else min(0.5 * 2.0 ** min(failures - 2, 16), _MAX_PAUSE_S)


class Pool:
    """The workers of one version.

    Invariants: a job is in `_queue`, or with one worker, or settled; no worker idles while a job waits;
    `_queue` never holds more than `max_queued`.
    """

    def __init__(
        self,
        contract: Contract,
        order: Frame,
        settings: PoolSettings,
        *,
        name: str,
        start: StartWorker,
    ) -> None:
        self.name = name
        self.restarts = 0
        self.trouble = ""  # why the last worker was lost or did not start; "" once one is ready
        self._contract = contract
        self._order = order
        self._settings = settings
        self._start = start
        self._queue: dict[int, _Job] = {}
        self._idle: list[Worker] = []
        self._live: set[Worker] = set()
        self._hopeful = 0  # workers that are alive or being started
        self._open = 0
        self._emptied = asyncio.Event()

    def __repr__(self) -> str:
        return (
            f"<Pool {self.name}: {self.queued} queued, {self.in_flight} in flight,"
            f" {self.workers} of {self._settings.runners} workers>"
        )

    @property
    def queued(self) -> int:
        """Requests that wait for a worker."""
        return len(self._queue)

    @property
    def in_flight(self) -> int:
        """Workers that run a batch now."""
        return len(self._live) - len(self._idle)

    @property
    def workers(self) -> int:
        """Workers that are loaded and alive."""
        return len(self._live)

    async def run(self, inputs: tuple[Array, ...], deadline: Deadline) -> Answer:
        """Run one batch. A caller that leaves while it is queued takes it out of the queue.

        Raises:
            QueueFull: `max_queued` requests are waiting; at once.
            NotReady: no worker is alive, and none will be before a pause is over; at once.
            DeadlineExceeded: the deadline passed.
            BackendUnavailable: the worker died while it ran this batch; at once.
            BackendRefused: the package failed on this batch.
        """
        self._check_room()
        loop = asyncio.get_running_loop()
        job = _Job(encode_frame(Frame("run", tensors=inputs)), loop.create_future())
        entered_at = loop.time()
        self._open += 1
        self._queue[id(job)] = job
        self._hand_out()
        expiry = loop.call_at(deadline.at, job.expire)  # half of what `asyncio.timeout_at` costs
        try:
            frame = await job.answer
        except TimeoutError as exc:
            stage = "queued" if job.sent_at is None else "in flight"
            after = f"after {loop.time() - entered_at:.3f} s, {stage}"
            raise DeadlineExceeded(f"the deadline of {self.name} passed {after}") from exc
        except WorkerLost as lost:
            raise await self._mourn(lost) from lost
        finally:
            expiry.cancel()
            self._queue.pop(id(job), None)
            self._open -= 1
            if not self._open:
                self._emptied.set()
        if frame.kind != "answer":
            raise BackendRefused(f"the package of {self.name} failed: {frame.fields.get('reason')}")
        run_ms, begun_at = float(frame.fields["run_ms"]), job.sent_at or entered_at
        return Answer(outputs=frame.tensors, run_ms=run_ms, queue_s=begun_at - entered_at)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Load the package, and keep its workers alive to the end of the block.

        Raises:
            PackageRefused: the first worker could not load and warm it; with the reason.
        """
        loaded: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        refused: PackageRefused | None = None
        async with asyncio.TaskGroup() as group:
            keepers = [group.create_task(self._keep_worker(loaded))]
            try:
                await loaded
                more = range(1, self._settings.runners)
                keepers += [group.create_task(self._keep_worker(loaded)) for _ in more]
                yield
            except PackageRefused as exc:
                refused = exc
            finally:
                for keeper in keepers:
                    keeper.cancel()
                self._refuse_queued()
        if refused is not None:
            raise refused

    async def drained(self, timeout_s: float) -> bool:
        """Wait until no request is queued or in flight; False if that took too long."""
        try:
            async with asyncio.timeout(timeout_s):
                while self._open:
                    self._emptied.clear()
                    await self._emptied.wait()
        except TimeoutError:
            return False
        return True

    def _check_room(self) -> None:
        if not self._hopeful:
            raise NotReady(f"{self.name} has no worker: {self.trouble}")
        if len(self._queue) >= self._settings.max_queued:
            limit = f"at most {self._settings.max_queued} may be"
            raise QueueFull(f"{self.name}: {len(self._queue)} requests are queued, {limit}")

    def _hand_out(self) -> None:
        now = asyncio.get_running_loop().time()
        while self._idle and self._queue:
            if self._idle[-1].is_lost:
                self._idle.pop()
                continue
            job = self._queue.pop(next(iter(self._queue)))
            if not job.answer.done():  # else its caller left a moment ago
                job.sent_at = now
                self._idle.pop().call(job.buffers, job.answer, self._settings.run_timeout_s)

    def _refuse_queued(self) -> None:
        for job in self._queue.values():
            if not job.answer.done():
                job.answer.set_exception(NotReady(f"{self.name} was unloaded while it was queued"))

    def _take_back(self, worker: Worker) -> None:
        self._idle.append(worker)
        self._hand_out()

    async def _mourn(self, lost: WorkerLost) -> BackendError:
        how = await lost.how()
        return BackendUnavailable(
            f"{self.name}: the worker that ran this batch {how}. The failure is the server's, not the"
            " request's: a retry is fine, another worker takes its place"
        )

    async def _keep_worker(self, loaded: asyncio.Future[None]) -> None:
        failures = 0
        self._hopeful += 1
        while True:
            try:
                answered = await self._live_once(loaded)
            except PackageRefused as exc:
                self.trouble = str(exc)
                if not loaded.done():
                    loaded.set_exception(exc)
                    return
                answered = False
            self.restarts += 1
            log("worker_lost", level="error", version=self.name, reason=self.trouble)
            failures = 0 if answered else failures + 1
            if pause := pause_s(failures):
                self._hopeful -= 1
                await asyncio.sleep(pause)
                self._hopeful += 1

    async def _live_once(self, loaded: asyncio.Future[None]) -> bool:
        """One worker, from its start to its end; whether it answered anything.

        Raises:
            PackageRefused: it could not load and warm the package.
        """
        async with self._start() as worker:
            await self._load(worker)
            if not loaded.done():
                loaded.set_result(None)
            return await self._serve_with(worker)

    async def _serve_with(self, worker: Worker) -> bool:
        self.trouble = ""
        self._live.add(worker)
        worker.on_idle = partial(self._take_back, worker)
        answered_before = worker.answered
        self._take_back(worker)
        try:
            how = await worker.wait_gone()
        finally:
            self._live.discard(worker)
            if worker in self._idle:
                self._idle.remove(worker)
        self.trouble = f"the worker {how}"
        return worker.answered > answered_before

    async def _load(self, worker: Worker) -> None:
        timeout_s = self._settings.load_timeout_s
        try:
            loaded = await worker.ask(self._order, timeout_s)
            if loaded.kind != "ready":
                kind, reason = loaded.fields["kind"], loaded.fields["reason"]
                raise PackageRefused(kind, reason)
            for inputs in self._contract.warm_inputs():
                await self._warm(worker, inputs)
        except WorkerLost as lost:
            how = await worker.wait_gone()
            raise PackageRefused("died", f"the worker {how} while it loaded the package") from lost

    async def _warm(self, worker: Worker, inputs: tuple[Array, ...]) -> None:
        answer = await worker.ask(Frame("run", tensors=inputs), self._settings.load_timeout_s)
        if answer.kind != "answer":
            on, why = [list(array.shape) for array in inputs], answer.fields.get("reason")
            raise PackageRefused("contract", f"failed on zeros of {on}: {why}")
        try:
            self._contract.name_outputs(answer.tensors, inputs)
        except BackendInvalid as exc:
            raise PackageRefused("contract", str(exc)) from exc
