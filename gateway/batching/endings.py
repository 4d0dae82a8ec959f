"""How are callers told that there is no answer, and why?"""

from __future__ import annotations

import asyncio

from gateway.batching.entry import Entry
from gateway.batching.flight import Caller, Flight
from gateway.errors import BatchRefused, GatewayError, InputRefused

__all__ = ["blaming_nobody", "report", "tell", "why_expired"]


def why_expired(entry: Entry[Caller], now: float) -> str:
    """What became of the time of a request whose deadline has passed, or cannot be made."""
    waited_s = now - entry.arrived
    if entry.needed_s:
        return (
            f"given up after {waited_s:.3f} s in the queue: its deadline is in {entry.deadline - now:.3f} s,"
            f" and its batch would take about {entry.needed_s:.3f} s"
        )
    if entry.batch is None:
        where = f"in the queue, {entry.slot.rows_ahead} rows were ahead of it"
    else:
        queued_s = entry.batch.left_at - entry.arrived
        where = f"of which {queued_s:.3f} s in the queue and {waited_s - queued_s:.3f} s in flight"
    return f"deadline passed after {waited_s:.3f} s {where}"


def blaming_nobody(flight: Flight) -> GatewayError | None:
    """The error of requests that were refused together and are not asked apart: each may be without fault."""
    if not isinstance(flight.error, InputRefused):
        return flight.error
    error = BatchRefused(
        f"a batch of {len(flight.batch.entries)} requests was refused, maybe for one of the others: so many were lately"
        f" that they are not asked apart ({flight.error})"
    )
    error.__cause__ = flight.error
    return error


def tell(entry: Entry[Caller], error: GatewayError) -> None:
    """Tell a caller of its error, whatever that makes of it."""
    try:
        entry.slot.answer.set_exception(error)
    except Exception as bug:  # noqa: BLE001  # the others are still to be told
        report(bug)


def report(bug: Exception) -> None:
    """Say that a caller's answer raised, which it must not."""
    context = {"message": "a caller could not be told its answer", "exception": bug}
    asyncio.get_running_loop().call_exception_handler(context)
