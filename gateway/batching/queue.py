"""How does a caller wait for its share of a batch?

A caller becomes an entry with a future, or with what it brings in the place of one. `dispatch.py` resolves
that, whatever happens; this module sees to callers that leave, and to requests too large for one batch.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable

from gateway.batching.collate import cut
from gateway.batching.dispatch import Dispatcher
from gateway.batching.entry import NORMAL, Entry
from gateway.batching.flight import Awaited, Caller, RunBatch, rejoin_pieces
from gateway.batching.key import BatchKey
from gateway.batching.limits import BatchLimits, Lease
from gateway.batching.record import BatchObserver, QueueStatistics
from gateway.errors import DeadlineExceeded, InvalidRequest, QueueFull
from gateway.messages import Deadline, Served, Trace
from gateway.tensors import Tensor


class BatchQueue:
    """The queue of one arm: many callers in, few batches out.

    Args:
        name: The arm, as error messages shall call it.
        limits: Its bounds.
        run_batch: Sends one batch. Cancelled when nobody waits any more. `max_in_flight` run at the
            same time.
        observe: Told of every batch that has ended, after its callers. If it raises, the event loop's
            exception handler hears of it and no request is harmed.
        clock: Seconds, on the clock that deadlines are set by. Not the loop's own: uvloop's has a
            resolution of 1 ms, too coarse to time a batch.
        cpu_clock: Seconds that the thread of the loop has computed.
        lease: Its part in the slots, if other processes send batches to the same arm.
    """

    # Invariant: every unresolved answer belongs to an entry that the plan knows. Whoever makes the plan
    # forget an entry resolves its answer, or is its caller.

    def __init__(
        self,
        name: str,
        limits: BatchLimits,
        run_batch: RunBatch,
        observe: BatchObserver,
        *,
        clock: Callable[[], float] = time.monotonic,
        cpu_clock: Callable[[], float] = time.thread_time,
        lease: Lease | None = None,
    ) -> None:
        self._name = name
        self._limits = limits
        self._clock = clock
        self._ids = itertools.count()
        # Kept, because looking it up costs a getpid() each time.
        self._loop: asyncio.AbstractEventLoop | None = None
        self._dispatcher = Dispatcher(
            name, limits, run_batch, observe, clock=clock, cpu_clock=cpu_clock, lease=lease
        )
        self._plan = self._dispatcher.plan

    def __repr__(self) -> str:
        return (
            f"<BatchQueue {self._name}: {self.queued_requests} requests ({self.queued_rows} rows)"
            f" queued, {self.in_flight} batches in flight, {self._dispatcher.state}>"
        )

    @property
    def limits(self) -> BatchLimits:
        """Its bounds."""
        return self._limits

    @property
    def queued_rows(self) -> int:
        """Rows that wait for a batch; a request without rows counts as one."""
        return self._plan.queued_rows

    @property
    def queued_requests(self) -> int:
        """Requests that wait for a batch; a piece of a request that was split counts as one."""
        return self._plan.queued_requests

    @property
    def in_flight(self) -> int:
        """Batches at the backend."""
        return self._plan.slots.in_flight

    @property
    def in_flight_limit(self) -> int:
        """Batches that may be at the backend now."""
        return self._plan.slots.max_in_flight

    def statistics(self) -> QueueStatistics:
        """The queue as it stands, and what has become of all that it accepted."""
        return self._dispatcher.statistics()

    async def submit(
        self,
        key: BatchKey,
        inputs: tuple[Tensor, ...],
        rows: int,
        deadline: Deadline,
        *,
        priority: int = NORMAL,
        trace: Trace | None = None,
    ) -> Served:
        """Wait for the answer to one request, at most until its deadline.

        A caller that is cancelled leaves nothing behind: what was queued is gone at once, and a batch
        at the backend goes on only if somebody else waits for it.

        Args:
            key: From `BatchKey.of`.
            inputs: `[rows, …]` each, if the key is batchable. Not copied before the batch leaves.
            rows: More than `max_batch_rows` are sent as several batches and rejoined.
            deadline: On the queue's clock.
            priority: `HIGH`, `NORMAL` or `LOW`; see `entry.py`.
            trace: What it brought to be found again, for the batch that carries it.

        Raises:
            NotReady: the queue is closed.
            QueueFull: its rows do not fit into the queue now, or are too many to be answered in time.
            InvalidRequest: the caller's fault; its rows can never fit into the queue.
            DeadlineExceeded: the deadline passed, while it was queued or in flight, or is bound to.
            BackendError: the batch failed. Every caller gets an exception object of its own.
            GatewayError: ours; `run_batch` failed in a way it should not.
        """
        if self.is_in_pieces(key, rows):
            pieces = self._pieces(inputs, rows)
            return await self._submit_pieces(key, pieces, deadline, priority=priority, trace=trace)
        answer = self._future()
        entry = self.enter(
            key, inputs, rows, deadline, answer=answer, priority=priority, trace=trace
        )
        try:
            return await answer
        except BaseException:
            self.leave(entry)
            raise
        finally:
            del (
                entry,
                answer,
            )  # else an error that was raised here would hold this frame, and so itself

    def is_in_pieces(self, key: BatchKey, rows: int) -> bool:
        """Whether a request is more than one batch: it can only be awaited, by `submit`."""
        return rows > self._limits.max_batch_rows and key.batchable

    def enter(
        self,
        key: BatchKey,
        inputs: tuple[Tensor, ...],
        rows: int,
        deadline: Deadline,
        *,
        answer: Awaited,
        priority: int = NORMAL,
        trace: Trace | None = None,
    ) -> Entry[Caller]:
        """As `submit`, but `answer` is resolved; who does not wait for it any more has to `leave`.

        Raises:
            NotReady, QueueFull, DeadlineExceeded: as `submit`; the answer stays as it is.
        """
        entry = self._entry(key, inputs, rows, deadline, answer=answer)
        entry.priority = priority
        if trace is not None:
            entry.slot.trace = trace
        self._offer(entry)
        return entry

    def leave(self, entry: Entry[Caller]) -> None:
        """Forget a caller: what was queued is gone at once. Nothing is done for one that was answered."""
        self._dispatcher.leave(entry)

    async def serve(self) -> None:
        """Run batches until `close` was called and everything accepted has ended.

        Cancelled, it cancels the batches in flight, and every caller that still waits gets `NotReady`.
        """
        await self._dispatcher.serve()

    def close(self) -> None:
        """Accept nothing more. What is queued still runs, and waits for nobody to join it."""
        self._dispatcher.close()

    async def _submit_pieces(
        self,
        key: BatchKey,
        pieces: list[tuple[tuple[Tensor, ...], int]],
        deadline: Deadline,
        *,
        priority: int,
        trace: Trace | None,
    ) -> Served:
        waiting = [self._future() for _ in pieces]
        entries = [
            self._entry(key, piece, count, deadline, answer=answer)
            for (piece, count), answer in zip(pieces, waiting, strict=True)
        ]
        for entry in entries:
            entry.priority = priority
            entry.slot.trace = trace
        self._offer(*entries)
        try:
            answers = await asyncio.gather(*waiting)
        finally:
            for entry in entries:
                self.leave(entry)
            del entries, entry, waiting  # as in `submit`
        return await rejoin_pieces(answers)

    def _pieces(
        self, inputs: tuple[Tensor, ...], rows: int
    ) -> list[tuple[tuple[Tensor, ...], int]]:
        if rows > self._limits.max_queued_rows:
            raise InvalidRequest(
                f"got {rows} rows, {self._name} takes at most {self._limits.max_queued_rows} at once",
                path="inputs",
            )
        full, rest = divmod(rows, self._limits.max_batch_rows)
        counts = [self._limits.max_batch_rows] * full + ([rest] if rest else [])
        return list(zip(cut(inputs, counts), counts, strict=True))

    def _future(self) -> asyncio.Future[Served]:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop.create_future()

    def _entry(
        self,
        key: BatchKey,
        inputs: tuple[Tensor, ...],
        rows: int,
        deadline: Deadline,
        *,
        answer: Awaited,
    ) -> Entry[Caller]:
        return Entry(
            id=next(self._ids),
            key=key,
            rows=rows,
            arrived=self._clock(),
            deadline=deadline.at,
            slot=Caller(inputs, self._plan.queued_rows, answer),
        )

    def _offer(self, *entries: Entry[Caller]) -> None:
        late_s = entries[0].arrived - entries[0].deadline
        if not late_s < 0:  # NaN is late too
            raise DeadlineExceeded(f"{self._name}: the deadline passed {late_s:.3f} s before")
        try:
            self._dispatcher.offer(*entries)
        except (QueueFull, DeadlineExceeded) as refusal:
            message = f"{self._name}: {refusal.message}"
            raise type(refusal)(message, retry_after_s=refusal.retry_after_s) from None
