"""What becomes of a request once the queue has it: its answer, or that nobody waits any more?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeAlias

from gateway.batching.entry import Entry
from gateway.batching.flight import Caller
from gateway.errors import GatewayError, QueueFull
from gateway.messages import InferRequest, InferResponse, Served
from gateway.prepare import Prepared
from gateway.scene import Route
from gateway.shadow.mirror import Mirrored
from gateway.values import value_class

__all__ = ["Answer", "InFlight", "Pending", "Tell", "answered"]


@value_class(kw_only=True)
class Answer:
    """The response, and how it came about."""

    response: InferResponse
    served: Served


Tell: TypeAlias = Callable[[Answer | None, Exception | None], None]
"""Hears of the answer or of the error, the other one is None. It must not raise.

An error that is no `GatewayError` is a bug of ours.
"""


class InFlight:
    """How many requests are accepted and not yet answered, and the bound on them."""

    __slots__ = ("_most", "count")

    def __init__(self, most: int) -> None:
        self._most = most
        self.count = 0

    def enter(self) -> None:
        """Count one in; `leave` has to follow.

        Raises:
            QueueFull: the bound is reached.
        """
        if self.count >= self._most:
            raise QueueFull(
                f"got one request more than the {self._most} that may be in flight"
                " (limits.max_requests_in_flight)"
            )
        self.count += 1

    def leave(self) -> None:
        """Count one out."""
        self.count -= 1


class Pending:
    """A request that waits for its batch while no coroutine waits for it.

    It takes the place of a future: see `batching.flight.Awaited`. Either `tell` is called, once, or it leaves.

    Attributes:
        entry: Its place in the queue, set as soon as it has one.
        awaited: What a caller that has a coroutine waits for meanwhile: to cancel it is to leave.
    """

    __slots__ = (
        "_in_flight",
        "_is_done",
        "_ready",
        "_request",
        "_request_id",
        "_route",
        "_tell",
        "awaited",
        "entry",
    )

    entry: Entry[Caller]

    def __init__(
        self,
        in_flight: InFlight,
        route: Route,
        request: InferRequest,
        ready: Prepared,
        *,
        tell: Tell,
        request_id: str,
    ) -> None:
        self._in_flight = in_flight
        self._route = route
        self._request = request
        self._ready = ready
        self._tell = tell
        self._request_id = request_id
        self._is_done = False
        self.awaited: asyncio.Future[bytes | None] | None = None

    def done(self) -> bool:
        """Whether it was answered, or has left."""
        awaited = self.awaited
        return self._is_done or (awaited is not None and awaited.cancelled())

    def cancelled(self) -> bool:
        """Whether its coroutine was cancelled, and has not run since: one that leaves has told the queue so."""
        return self.awaited is not None and self.awaited.cancelled()

    def set_result(self, served: Served, /) -> None:
        """Tell of the answer."""
        tell = self._end()
        try:
            answer = answered(
                self._route, self._request, self._ready, served, request_id=self._request_id
            )
        except Exception as bug:  # noqa: BLE001  # its batch-mates are still to be answered
            tell(None, bug)
        else:
            tell(answer, None)

    def set_exception(self, error: GatewayError, /) -> None:
        """Tell of the error."""
        self._end()(None, error)

    def leave(self) -> None:
        """Wait no more. Nothing is done for one that was told already."""
        if not self._is_done:
            entry = self.entry
            self._end()
            self._route.lane.queue.leave(entry)

    def _end(self) -> Tell:
        tell = self._tell
        del self._tell, self.entry
        self._is_done = True
        self._in_flight.leave()
        return tell


def answered(
    route: Route, request: InferRequest, ready: Prepared, served: Served, *, request_id: str
) -> Answer:
    """The answer to a request, counted, and offered to the shadows of its arm."""
    lane, arm = route.lane, route.decision.arm
    lane.metrics.queue_seconds.observe(served.queue_s)
    lane.metrics.rows.inc(ready.rows)
    if ready.mirrors:
        mirrored = _mirrored(arm.name, request_id, ready, served)
        for mirror in ready.mirrors:
            mirror.offer(mirrored)
    response = InferResponse(
        model=arm.model,
        version=arm.version,
        signature=route.signature.name,
        outputs=served.outputs,
        id=request.id,
    )
    return Answer(response=response, served=served)


def _mirrored(arm: str, request_id: str, ready: Prepared, served: Served) -> Mirrored:
    key = ready.key
    return Mirrored(
        request_id=request_id,
        answered_by=arm,
        signature=key.signature,
        inputs=ready.inputs,
        wanted=key.outputs,
        rows=ready.rows,
        control=served.outputs,
        parameters=key.parameter_mapping(),
    )
