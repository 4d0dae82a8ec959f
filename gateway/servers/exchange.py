"""What is common to one request on every dialect: its id, its deadline, and its one line in the books."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from gateway.config import LimitsConfig
from gateway.errors import CallerLeft, GatewayError, InvalidRequest, QueueFull
from gateway.messages import Deadline, Dialect, Target, Trace
from gateway.pipeline import Answer, Pipeline, Route, Scene
from gateway.servers.siblings import Statistics
from gateway.telemetry.logs import RequestLog
from gateway.telemetry.metrics import Metrics

__all__ = ["EXPLAIN", "Desk", "Exchange", "Headers"]


class Headers(Protocol):
    """HTTP headers or gRPC metadata, by lower-case name."""

    def get(self, name: str, /) -> str | None:
        """The header's value, or None."""


REQUEST_ID = "x-request-id"
EXPLAIN = "x-tandem-explain"
ARM = "x-tandem-arm"
TIMEOUT_MS = "x-tandem-timeout-ms"

_MAX_ID = 128
_NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?")


@dataclass(slots=True, kw_only=True)
class Exchange:
    """One request while it is served: `with` it, it is booked exactly once, however the block ends.

    The block sets `error` for an answer that is an error. An exception that leaves the block is booked
    as the caller's departure if it is a cancellation, else as ours.

    Attributes:
        request_id: The caller's, or one of ours.
        started: When its last byte was in, in seconds of the loop's clock.
        target, route, answer, error: Set as far as the request got.
        held_bytes: Of its body, in memory until it is booked.
        trace: What the caller brought to find the request again; None if nothing.
    """

    desk: Desk
    dialect: Dialect
    request_id: str
    started: float
    target: Target | None = None
    route: Route | None = None
    answer: Answer | None = None
    error: GatewayError | None = None
    held_bytes: int = 0
    trace: Trace | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, Exception):
            self.error = GatewayError(f"{type(error).__name__}: {error}")
        elif error is not None and self.error is None:
            self.error = CallerLeft("the call was cancelled")
        self.desk.book(self)

    def hold(self, size: int) -> None:
        """Account for `size` more bytes of its body, until it is booked.

        Raises:
            QueueFull: all bodies together would pass `limits.max_bytes_in_flight`.
        """
        desk = self.desk
        held = desk.held_bytes + size
        if held > desk.limits.max_bytes_in_flight:
            raise QueueFull(
                f"got {size} bytes more, requests in flight hold {desk.held_bytes} of"
                f" {desk.limits.max_bytes_in_flight} (limits.max_bytes_in_flight)",
                path="body",
            )
        desk.held_bytes = held
        self.held_bytes += size

    def release(self) -> None:
        """Forget what it holds: it is not going to be booked."""
        self.desk.held_bytes -= self.held_bytes
        self.held_bytes = 0

    def facts(self, now: float) -> list[tuple[str, str]]:
        """Where the answer came from, as header names and values; empty if it was not answered."""
        if self.answer is None or self.route is None:
            return []
        served = self.answer.served
        return [
            ("x-tandem-arm", self.route.arm.name),
            ("x-tandem-version", self.answer.response.version),
            ("x-tandem-why", self.route.decision.why),
            ("x-tandem-batch-rows", str(served.batch_rows)),
            ("x-tandem-batch-requests", str(served.batch_requests)),
            ("x-tandem-queue-ms", f"{served.queue_s * 1e3:.3f}"),
            ("x-tandem-backend-ms", f"{served.backend_s * 1e3:.3f}"),
            ("x-tandem-total-ms", f"{(now - self.started) * 1e3:.3f}"),
        ]


class Known:
    """Where the requests of one connection went that had the same head, and so need not be asked again.

    Attributes:
        scene: The one it was found in; in any other it is void.
        route: What it was then.
        patience_s: How long such a request waits.
    """

    __slots__ = ("patience_s", "route", "scene")

    def __init__(self) -> None:
        self.scene: Scene | None = None
        self.route: Route | None = None
        self.patience_s = 0.0


class Desk:
    """Opens and closes exchanges: ids, deadlines, targets, and the books (metrics and log).

    Attributes:
        everywhere: Tells the statistics of all processes that serve together; None where this is all.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        metrics: Metrics,
        log: RequestLog,
        *,
        limits: LimitsConfig,
        clock: Callable[[], float],
    ) -> None:
        self.pipeline = pipeline
        self.limits = limits
        self.clock = clock
        self.everywhere: Statistics | None = None
        self._metrics = metrics
        self._log = log
        # A random prefix keeps ids of several replicas and restarts apart; the counter is the cheap part.
        prefix = os.urandom(8).hex()
        self.ids = (f"{prefix}-{number:x}" for number in itertools.count(1))
        self.held_bytes = 0
        metrics.in_flight_bytes.set_function(lambda: self.held_bytes)

    def open(self, dialect: Dialect, request_id: str) -> Exchange:
        """An exchange that begins now, with the caller's id or one of ours."""
        return Exchange(
            desk=self,
            dialect=dialect,
            request_id=request_id or next(self.ids),
            started=self.clock(),
        )

    def hold(self, exchange: Exchange, size: int) -> None:
        """See `Exchange.hold`."""
        exchange.hold(size)

    def count_unreadable(self, reason: str) -> None:
        """Count a request that could not be read as HTTP, so that neither dialect nor model is known."""
        self._metrics.requests.labels("", "", "", reason).inc()

    def book(self, exchange: Exchange) -> None:
        """Count and log one exchange that has ended."""
        now = self.clock()
        self.held_bytes -= exchange.held_bytes
        error, route = exchange.error, exchange.route
        reason = "ok" if error is None else error.reason
        if route is None:
            model = exchange.target.model if exchange.target is not None else ""
            known = model if model in self.pipeline.table.models else ""
            self._metrics.requests.labels(known, "", exchange.dialect, reason).inc()
        else:
            route.lane.metrics.count_request(exchange.dialect, reason)
            if error is None:
                route.lane.metrics.request_seconds.observe(now - exchange.started)
                route.lane.metrics.executions.last_answered = now
            else:
                route.lane.metrics.executions.failed_s += now - exchange.started
        if self._log.wants(exchange.request_id, ok=error is None):
            self._log.write(ok=error is None, fields=_log_fields(exchange, reason, now))

    def route(
        self, headers: Headers, exchange: Exchange, asked: Target, known: Known | None
    ) -> tuple[Route, Deadline]:
        """The route of a request for the default signature whose patience only a header tells.

        Raises: as `deadline` and `Pipeline.route`.
        """
        pipeline, scene = self.pipeline, self.pipeline.scene
        if known is not None and known.scene is scene and known.route is not None:
            exchange.target = asked
            exchange.route = route = pipeline.route_again(known.route)
            return route, Deadline(exchange.started + known.patience_s)
        exchange.target = target = self.target(headers, exchange, asked, "")
        deadline = self.deadline(headers, exchange, None)
        exchange.route = route = pipeline.route(target)
        if known is not None and target is asked:  # nothing but the head decided
            known.scene, known.route = scene, route
            known.patience_s = deadline.at - exchange.started
        return route, deadline

    def target(self, headers: Headers, exchange: Exchange, asked: Target, signature: str) -> Target:
        """`asked`, completed by its signature and by what the headers say of the unit and the arm."""
        arm = headers.get(ARM) or ""
        unit = exchange.request_id
        routes = self.pipeline.scene.table.models.get(asked.model)
        if routes is not None and routes.has_no_choice and not (arm or signature):
            return asked  # whatever the unit is, its arm is the same
        for name in () if routes is None else routes.unit_headers:
            told = headers.get(name)
            if told:
                unit = told
                break
        return Target(
            model=asked.model,
            version=asked.version,
            label=asked.label,
            signature=signature,
            unit=unit,
            arm=arm,
        )

    def deadline(self, headers: Headers, exchange: Exchange, asked_s: float | None) -> Deadline:
        """When to give up: what the protocol or the header asks, within `limits.max_timeout_s`.

        Raises:
            InvalidRequest: the header is not a positive number.
        """
        timeout_s = self.limits.default_timeout_s if asked_s is None else asked_s
        text = headers.get(TIMEOUT_MS)
        if text is not None:
            timeout_s = _timeout_s(text)
        return Deadline(exchange.started + min(timeout_s, self.limits.max_timeout_s))

    def reading_deadline(self, headers: Headers, exchange: Exchange) -> Deadline:
        """Until when a large body may be read: the header's patience or the default, the shorter one.

        A header that is no number counts as none: it is refused when its turn comes, by `deadline`.
        """
        longest = Deadline.after(exchange.started, self.limits.default_timeout_s)
        try:
            asked = self.deadline(headers, exchange, None)
        except InvalidRequest:
            return longest
        return asked if asked.at < longest.at else longest


def _log_fields(exchange: Exchange, reason: str, now: float) -> dict[str, str | float]:
    fields: dict[str, str | float] = {
        "request_id": exchange.request_id,
        "dialect": exchange.dialect,
        "reason": reason,
        "total_ms": round((now - exchange.started) * 1e3, 3),
    }
    if exchange.target is not None:
        fields["model"] = exchange.target.model[:_MAX_ID]
    if exchange.route is not None:
        fields["arm"] = exchange.route.arm.name
    if exchange.answer is not None:
        fields["queue_ms"] = round(exchange.answer.served.queue_s * 1e3, 3)
        fields["backend_ms"] = round(exchange.answer.served.backend_s * 1e3, 3)
        fields["batch_rows"] = exchange.answer.served.batch_rows
    if exchange.error is not None:
        fields["error"] = str(exchange.error)[:512]
    return fields


def _timeout_s(text: str) -> float:
    value = float(text) if _NUMBER.fullmatch(text) else 0.0
    if not value > 0:
        raise InvalidRequest(
            f"got {text[:64]!r}, wanted milliseconds above 0", path=f"header {TIMEOUT_MS}"
        )
    return value / 1e3


def clean_id(text: str) -> str:
    """A caller's request id if it is safe to log and to return in a header, else ""."""
    return text if 0 < len(text) <= _MAX_ID and text.isascii() and text.isprintable() else ""
