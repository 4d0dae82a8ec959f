"""What happens to a batch between leaving the queue and waking its callers?

A flight joins the requests, calls the backend, checks and cuts the answer, and keeps whatever came of
it. It raises nothing but `CancelledError`, and knows neither the queue nor its callers' futures.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from gateway.batching.collate import JOIN_ON_LOOP_BYTES, join, joined_bytes, rejoin, split
from gateway.batching.entry import Batch, Entry
from gateway.batching.key import BatchKey
from gateway.batching.padding import Padding
from gateway.batching.record import BatchRecord
from gateway.errors import BackendInvalid, BackendRefused, BackendTimeout, GatewayError
from gateway.messages import Deadline, Served, Trace
from gateway.tensors import Tensor

_S = TypeVar("_S")
_T = TypeVar("_T")


class RunBatch(Protocol):
    """Sends one batch."""

    async def __call__(
        self,
        key: BatchKey,
        inputs: tuple[Tensor, ...],
        rows: int,
        deadline: Deadline,
        *,
        traces: Sequence[Trace | None],
    ) -> tuple[Tensor, ...]:
        """Its outputs, `[rows, …]` each.

        Args:
            key: That of all its requests.
            inputs: `[rows, …]` each.
            rows: Of all its requests together.
            deadline: The latest among its requests.
            traces: Per request what it brought to be found again.
        """
        ...


class Awaited(Protocol):
    """What a caller waits for: a future, or what takes the place of one. None of these may raise."""

    def done(self) -> bool:
        """Whether it has an answer, or its caller has left."""
        ...

    def cancelled(self) -> bool:
        """Whether its caller has left, and the queue has not been told yet."""
        ...

    def set_result(self, result: Served, /) -> None:
        """Answer it. It is not done."""
        ...

    def set_exception(self, exception: GatewayError, /) -> None:
        """Answer it with an error of its own. It is not done."""
        ...


@dataclass(slots=True, eq=False)
class Caller:
    """What the queue keeps of a caller.

    Attributes:
        inputs: `[rows, …]` each, if it can be batched.
        rows_ahead: Rows that were queued when it came.
        answer: What it waits for.
        trace: What it brought to be found again.
    """

    inputs: tuple[Tensor, ...]
    rows_ahead: int
    answer: Awaited
    trace: Trace | None = None


@dataclass(slots=True, eq=False)
class Flight:
    """One batch on its way, and what came of it.

    Attributes:
        batch: Its entries are those that are sent.
        sent_at: When the backend was called, in seconds; None before.
        backend_s: Seconds that the backend took to answer or fail; None before.
        shares: Per entry its outputs, if the batch was answered.
        error: What its requests get, if it was not.
        bug: What `error` stands for, if it is no error that a backend should give.
        given_up: Why it was cancelled: `caller_left` or `deadline`.
        halved: Whether its requests were queued again, as two halves.
        padding: What makes its requests equally long, None if nothing could.
    """

    batch: Batch[Caller]
    sent_at: float | None = None
    backend_s: float | None = None
    shares: Sequence[tuple[Tensor, ...]] = ()
    error: GatewayError | None = None
    bug: Exception | None = None
    given_up: str = ""
    halved: bool = False
    padding: Padding | None = None

    @property
    def is_overdue(self) -> bool:
        """Whether all that is known of its time is that it was not answered in that."""
        ended = bool(self.given_up) or isinstance(self.error, BackendTimeout)
        return ended and self.sent_at is not None

    @property
    def was_refused_together(self) -> bool:
        """Whether the backend refused several requests, or answered what is no answer to them.

        Maybe only one of them is to blame.
        """
        error = self.error
        refused = isinstance(error, BackendRefused) and error.may_be_ones_own
        return (refused or isinstance(error, BackendInvalid)) and len(self.batch.entries) > 1

    async def run(
        self, entries: list[Entry[Caller]], run_batch: RunBatch, clock: Callable[[], float]
    ) -> None:
        """Call the backend for those entries of the batch that still wait."""
        self.batch.entries = entries
        try:
            self.shares = await self._ask(run_batch, clock)
        except GatewayError as error:
            self.error = error.with_traceback(None)  # whose frames would hold this very flight
        except Exception as bug:  # noqa: BLE001  # the supervisor of batches: told in the record
            self.bug = bug
            self.error = GatewayError(f"a batch failed for a reason of ours: {type(bug).__name__}")
            self.error.__cause__ = bug
        self._stop_clock(clock())

    async def _ask(
        self, run_batch: RunBatch, clock: Callable[[], float]
    ) -> Sequence[tuple[Tensor, ...]]:
        key, entries = self.batch.key, self.batch.entries
        rows = [entry.rows for entry in entries]
        total = self.batch.rows = sum(rows)
        requests = [entry.slot.inputs for entry in entries]
        if key.sequence is not None:
            self.padding = Padding.of(key.sequence, requests, rows)
        inputs = await _join(requests, total, self.padding)
        latest = Deadline(max([entry.deadline for entry in entries]))
        traces = [entry.slot.trace for entry in entries]
        self.sent_at = clock()
        outputs = await run_batch(key, inputs, total, latest, traces=traces)
        if self.padding is not None:
            return await _split_padded(outputs, rows, self.padding)
        return split(outputs, rows) if key.batchable else [outputs]

    def _stop_clock(self, now: float) -> None:
        if self.backend_s is None:
            self.backend_s = 0.0 if self.sent_at is None else now - self.sent_at

    def served(self, entries: Sequence[Entry[Caller]]) -> list[Served]:
        """What the callers of those of its entries get, if the batch was answered."""
        batch, backend_s = self.batch, self.backend_s or 0.0
        rows, requests = sum([entry.rows for entry in batch.entries]), len(batch.entries)
        served = [
            Served(
                outputs=outputs,
                batch_rows=rows,
                batch_requests=requests,
                queue_s=batch.left_at - entry.arrived,
                backend_s=backend_s,
            )
            for entry, outputs in zip(batch.entries, self.shares, strict=True)
        ]
        if len(entries) == requests:
            return served
        wanted = {entry.id for entry in entries}
        return [s for entry, s in zip(batch.entries, served, strict=True) if entry.id in wanted]

    def record(self, now: float) -> BatchRecord:
        """What is told of it, once it has ended."""
        self._stop_clock(now)
        entries = self.batch.entries
        padding = None if self.sent_at is None else self.padding
        return BatchRecord(
            rows=0 if self.sent_at is None else sum([entry.rows for entry in entries]),
            requests=len(entries),
            departure=self.batch.departure,
            queue_s=tuple([self.batch.left_at - entry.arrived for entry in entries]),
            backend_s=self.backend_s or 0.0,
            outcome=self.given_up or (self.error.reason if self.error else "ok"),
            was_sent=self.sent_at is not None,
            halved=self.halved,
            positions=padding.positions if padding else 0,
            padding=padding.added if padding else 0,
            bug=self.bug,
        )


def own_copy(error: GatewayError) -> GatewayError:
    """The same error for another caller: tasks that raise one object write into one traceback."""
    copy = type(error).__new__(type(error), *error.args)
    copy.__dict__.update(error.__dict__)
    copy.__cause__ = error
    return copy


async def rejoin_pieces(pieces: Sequence[Served]) -> Served:
    """The answer to a request, out of the answers to its pieces.

    Raises:
        BackendInvalid: the backend's fault; the pieces' outputs do not fit together.
    """
    last = max(pieces, key=lambda piece: piece.queue_s + piece.backend_s)  # they came together
    outputs = [piece.outputs for piece in pieces]
    size = sum(tensor.array.nbytes for piece in outputs for tensor in piece)
    return Served(
        outputs=await _in_thread_if_large(rejoin, outputs, size),
        batch_rows=max(piece.batch_rows for piece in pieces),
        batch_requests=max(piece.batch_requests for piece in pieces),
        queue_s=last.queue_s,
        backend_s=last.backend_s,
    )


async def _join(
    requests: list[tuple[Tensor, ...]], rows: int, padding: Padding | None
) -> tuple[Tensor, ...]:
    if padding is not None and padding.is_needed:
        return await _in_thread_if_large(padding.join, requests, padding.joined_bytes(requests))
    return await _in_thread_if_large(join, requests, joined_bytes(requests, rows))


async def _split_padded(
    outputs: tuple[Tensor, ...], rows: list[int], padding: Padding
) -> Sequence[tuple[Tensor, ...]]:
    padding.check(outputs)
    shares = split(outputs, rows)
    if not padding.is_needed:
        return shares
    return await _in_thread_if_large(padding.trim, shares, padding.trimmed_bytes(outputs))


async def _in_thread_if_large(copy: Callable[[_S], _T], tensors: _S, size_bytes: int) -> _T:
    if size_bytes <= JOIN_ON_LOOP_BYTES:
        return copy(tensors)
    return await asyncio.get_running_loop().run_in_executor(None, copy, tensors)
