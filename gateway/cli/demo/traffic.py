"""What happened to each request that was sent? Runs the planned blocks against a gateway, as a client would.

A block is a closed loop: `concurrency` callers, each sends its next request when it has its answer. So load
is bounded, and times are what a caller saw, waiting for a turn on a shared machine included.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from gateway.cli.demo.callers import Answered, Call, Caller, CallFailed
from gateway.cli.demo.samples import Block, Planned, Surface
from gateway.errors import GatewayError
from model_store.held_out import HeldOut, Indices

__all__ = ["Sent", "Subject", "answer_all", "run_block", "warm_up"]

_ALL_ROWS = 16  # rows a request when an arm is asked for the whole test set
_FORCE_SURFACE: Surface = "TFS gRPC"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Subject:
    """A model under test.

    Attributes:
        outputs: The names of its outputs.
        unit_header: The header by which the gateway knows a user.
    """

    model: str
    held_out: HeldOut
    outputs: tuple[str, ...]
    unit_header: str = "x-tandem-unit"

    @property
    def output(self) -> str:
        """The output that a caller acts on, and that is compared."""
        return self.held_out.decision_output


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sent:
    """One request and what became of it.

    Attributes:
        block: The index of its block.
        rows: Indices into the test set.
        arm: "" if it failed; then `error` says why, and the times other than `total_s` are 0.
        total_s: As the client saw it.
        queue_s, backend_s, batch_rows: As the gateway explained it.
        values: The compared output, `[rows, …]`; None if it failed.
    """

    block: int
    surface: Surface
    concurrency: int
    unit: str
    rows: Indices
    total_s: float
    arm: str = ""
    queue_s: float = 0.0
    backend_s: float = 0.0
    batch_rows: int = 0
    values: npt.NDArray[np.float64] | None = None
    error: str = ""


async def warm_up(subject: Subject, callers: Mapping[Surface, Caller], arms: list[str]) -> None:
    """One request on every surface to every arm, so that no connection is opened on the clock.

    Raises:
        CallFailed: the first that was not answered.
    """
    rows = np.arange(1)
    for caller in callers.values():
        for arm in arms:
            await caller.prepare(
                subject.model, subject.held_out.take(rows), subject.outputs, {"x-tandem-arm": arm}
            )()


async def answer_all(
    subject: Subject, callers: Mapping[Surface, Caller], arm: str
) -> npt.NDArray[np.float64]:
    """What one arm answers to the whole test set, `[rows, …]`.

    Raises:
        CallFailed: a request was not answered.
    """
    found: npt.NDArray[np.float64] | None = None
    for rows in subject.held_out.batches(_ALL_ROWS):
        call = callers[_FORCE_SURFACE].prepare(
            subject.model, subject.held_out.take(rows), subject.outputs, {"x-tandem-arm": arm}
        )
        values = _compared(await call(), subject, len(rows))
        if found is None:
            found = np.full((subject.held_out.rows, *values.shape[1:]), np.nan)
        found[rows] = values
    assert found is not None, "a test set has rows"
    return found


async def run_block(subject: Subject, index: int, block: Block, caller: Caller) -> list[Sent]:
    """Send a block's requests and wait for all; failures are recorded, not raised.

    Encoding before and decoding after the block keep the client's own work off the clock.
    """
    calls = [_prepare(subject, planned, caller) for planned in block.requests]
    ended: list[_Ended] = []
    queue = iter(zip(block.requests, calls, strict=True))

    async def one_caller() -> None:
        for planned, call in queue:
            ended.append(await _timed(planned, call))

    async with asyncio.TaskGroup() as group:
        for _ in range(block.concurrency):
            group.create_task(one_caller())
    return [_sent(subject, index, block, one) for one in ended]


@dataclass(frozen=True, slots=True)
class _Ended:
    planned: Planned
    total_s: float
    outcome: Answered | CallFailed


async def _timed(planned: Planned, call: Call) -> _Ended:
    begun = time.perf_counter()
    outcome: Answered | CallFailed
    try:
        outcome = await call()
    except CallFailed as exc:
        outcome = exc
    return _Ended(planned, time.perf_counter() - begun, outcome)


def _prepare(subject: Subject, planned: Planned, caller: Caller) -> Call:
    headers = {subject.unit_header: planned.unit, "x-tandem-explain": "1"}
    return caller.prepare(
        subject.model, subject.held_out.take(planned.rows), subject.outputs, headers
    )


def _sent(subject: Subject, index: int, block: Block, ended: _Ended) -> Sent:
    common = Sent(
        block=index,
        surface=block.surface,
        concurrency=block.concurrency,
        unit=ended.planned.unit,
        rows=ended.planned.rows,
        total_s=ended.total_s,
    )
    if isinstance(ended.outcome, CallFailed):
        return replace(common, error=str(ended.outcome))
    facts = ended.outcome.facts
    try:
        return replace(
            common,
            arm=facts["x-tandem-arm"],
            queue_s=float(facts["x-tandem-queue-ms"]) / 1e3,
            backend_s=float(facts["x-tandem-backend-ms"]) / 1e3,
            batch_rows=int(facts["x-tandem-batch-rows"]),
            values=_compared(ended.outcome, subject, len(ended.planned.rows)),
        )
    except (GatewayError, LookupError, ValueError) as exc:
        return replace(common, error=f"an answer that cannot be read: {type(exc).__name__}: {exc}")


def _compared(answered: Answered, subject: Subject, rows: int) -> npt.NDArray[np.float64]:
    values = np.asarray(answered.read()[subject.output], dtype=np.float64)
    if len(values) != rows:
        raise ValueError(f"got {len(values)} rows for {rows}")
    return values
