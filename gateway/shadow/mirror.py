"""What would another arm have said? Asked aside, never waited for.

Rules:
- `offer` is synchronous and only ever enqueues or drops-and-counts: the primary path cannot wait here.
- A shadow has a queue, a concurrency and lanes of its own; under pressure it is the first to be dropped.
- Everything that goes wrong with a shadow is an outcome in a metric, never an exception for a caller.
- A shadow is asked once; there are no retries.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, cast

from gateway.errors import GatewayError
from gateway.messages import Deadline, Parameter
from gateway.shadow.compare import Comparison, compare
from gateway.tensors import Tensor

__all__ = ["Ask", "Mirror", "MirrorLimits", "Mirrored", "Outcome"]

Outcome: TypeAlias = Literal["match", "mismatch", "error", "dropped"]

Ask: TypeAlias = Callable[["Mirrored", Deadline], Awaitable[tuple[Tensor, ...]]]
"""Send the mirrored request to the shadow's arm and return its outputs, `[rows, …]` each."""

IsSampled: TypeAlias = Callable[[str], bool]
"""Whether the request with this id belongs to the shadow's sample."""

Note: TypeAlias = Callable[["Mirrored", Outcome, Comparison | GatewayError | None], None]
"""Record what became of one mirrored request; called exactly once for each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorLimits:
    """The bounds of one shadow, and the tolerance its answers are judged by."""

    max_queued: int
    max_queued_bytes: int
    max_in_flight: int
    timeout_s: float
    atol: float
    rtol: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirrored:
    """One request that was answered, on its way to a shadow.

    Attributes:
        request_id: The request's id, which the sample is drawn by.
        answered_by: The arm whose answer the caller got.
        signature: The signature's name.
        inputs: What was asked, `[rows, …]` each.
        wanted: Names of the outputs asked for; empty for all.
        rows: Rows in `inputs`.
        control: What the caller was told.
        parameters: Of the request, for the backend.
    """

    request_id: str
    answered_by: str
    signature: str
    inputs: tuple[Tensor, ...]
    wanted: tuple[str, ...]
    rows: int
    control: tuple[Tensor, ...]
    parameters: Mapping[str, Parameter] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        """What keeping it costs, about: the tensors' bytes; for BYTES those of the elements."""
        return sum(_size_bytes(tensor) for tensor in (*self.inputs, *self.control))


def _size_bytes(tensor: Tensor) -> int:
    if tensor.datatype == "BYTES":
        return sum(map(len, cast("list[bytes]", tensor.array.ravel().tolist())))
    return int(tensor.array.nbytes)


class Mirror:
    """One shadow of one model.

    Invariants: `len(self._queue) <= limits.max_queued`; `_queued_bytes` is the sum of `size_bytes` over
    the queue, at most `limits.max_queued_bytes`; every request offered and sampled ends in exactly
    one call of `note`.
    """

    def __init__(
        self, limits: MirrorLimits, *, is_sampled: IsSampled, ask: Ask, note: Note
    ) -> None:
        self._is_sampled = is_sampled
        self._limits = limits
        self._ask = ask
        self._note = note
        self._queue: deque[Mirrored] = deque()
        self._queued_bytes = 0
        self._waiting = asyncio.Event()
        self._closed = False

    def __repr__(self) -> str:
        return f"<Mirror {len(self._queue)} queued of {self._limits.max_queued}>"

    def offer(self, mirrored: Mirrored) -> None:
        """Take the request aside if it is in the sample; drop and count it when the queue is full."""
        if not self._is_sampled(mirrored.request_id):
            return
        size = mirrored.size_bytes
        is_full = (
            len(self._queue) >= self._limits.max_queued
            or self._queued_bytes + size > self._limits.max_queued_bytes
        )
        if self._closed or is_full:
            self._note(mirrored, "dropped", None)
            return
        self._queue.append(mirrored)
        self._queued_bytes += size
        self._waiting.set()

    async def serve(self) -> None:
        """Ask the shadow until cancelled; whatever is still queued then is dropped and counted."""
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._limits.max_in_flight):
                    group.create_task(self._work())
        finally:
            self._closed = True
            while self._queue:
                self._note(self._next(), "dropped", None)

    async def _work(self) -> None:
        while True:
            while not self._queue:
                self._waiting.clear()
                await self._waiting.wait()
            await self._ask_one(self._next())

    def _next(self) -> Mirrored:
        mirrored = self._queue.popleft()
        self._queued_bytes -= mirrored.size_bytes
        return mirrored

    async def _ask_one(self, mirrored: Mirrored) -> None:
        loop = asyncio.get_running_loop()
        deadline = Deadline.after(loop.time(), self._limits.timeout_s)
        try:
            candidate = await self._ask(mirrored, deadline)
        except GatewayError as error:
            self._note(mirrored, "error", error)
            return
        except asyncio.CancelledError:
            self._note(mirrored, "dropped", None)
            raise
        found = compare(mirrored.control, candidate, atol=self._limits.atol, rtol=self._limits.rtol)
        self._note(mirrored, "match" if found.kind == "match" else "mismatch", found)
