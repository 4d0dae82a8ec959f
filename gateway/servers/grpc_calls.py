"""How is one gRPC call served, whatever transport brought it: bytes in, bytes out, or a refusal?

What every service on the gRPC port has in common; which methods there are is in `grpc`, `oip_grpc` and
`grpc_health`. Nothing here knows a transport: `grpc_aio` serves the methods with `grpc.aio`, `grpc_asgi` as
an ASGI application. Both cancel the method when its client cancels, disconnects or passes its deadline,
which is all that a leaving client needs.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Protocol, TypeAlias, TypeVar

from gateway.codecs.named_model import model_named
from gateway.codecs.trace_context import returned
from gateway.errors import BodyTooLarge, GatewayBusy, GatewayError
from gateway.messages import Deadline, Dialect, InferRequest, Target, Trace
from gateway.pipeline import Answer, Route
from gateway.prepare import Kind
from gateway.servers.exchange import ARM, EXPLAIN, REQUEST_ID, Desk, Exchange, Headers, clean_id
from gateway.servers.heavy import HeavyWork
from gateway.servers.problems import code_of, text_of
from gateway.servers.replies import without_frames
from gateway.values import value_class

__all__ = [
    "Answering",
    "Call",
    "Calls",
    "Messages",
    "Metadata",
    "Question",
    "Reading",
    "Refusal",
    "Served",
    "Stream",
    "Trailing",
    "Unary",
    "refusal_of",
]

_log = logging.getLogger("tandem.grpc")

Trailing: TypeAlias = Sequence[tuple[str, str]]
"""Metadata that is told with the end of a call."""


class Metadata(Headers, Protocol):
    """What a call says beside its messages, text values only."""

    def trace(self, request_id: str, /) -> Trace | None:
        """What the caller brought to find the request of this id again, None if nothing."""


class Call(Protocol):
    """One call, as its transport shows it to the method.

    Attributes:
        trailing: What the method wants told at the end of the call, whether it answers or refuses.
    """

    trailing: Trailing

    @property
    def metadata(self) -> Metadata:
        """What the client said beside the messages."""

    def time_remaining(self) -> float | None:
        """Seconds until the call's own deadline, None where it has none."""

    async def write(self, message: bytes, /) -> None:
        """Send one message of a stream; waits as long as the client does not read."""


class Refusal(Exception):
    """The end of a call that is not OK.

    Attributes:
        code: The name of gRPC's status code.
        text: What the client is told.
        trailing: Metadata that belongs to the refusal.
    """

    def __init__(self, code: str, text: str, trailing: Trailing = ()) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text
        self.trailing = trailing


Messages: TypeAlias = AsyncIterator[bytes]
Unary: TypeAlias = Callable[[bytes, Call], Awaitable[bytes]]
"""A method of one message each way; raises Refusal."""
Stream: TypeAlias = Callable[[Messages, Call], Awaitable[None]]
"""A method that reads messages as they come and writes its own; raises Refusal."""


@value_class()
class Served:
    """Every method on the port by its path, `/service/Method`, and what all other calls are told."""

    unary: Mapping[str, Unary]
    streams: Mapping[str, Stream]
    unknown: Callable[[str], Refusal]


_In = TypeVar("_In")
_Out = TypeVar("_Out")


@value_class()
class Question:
    """One request message, with what its call says beside it.

    Attributes:
        left_s: Until the call's own deadline, None where it has none.
    """

    data: bytes
    metadata: Metadata
    left_s: float | None


@value_class()
class Reading:
    """What a message says.

    Attributes:
        left_s: How long its caller waits, None for the default.
        kind: What is known of requests that differ from it in their values alone, None if nothing is remembered.
    """

    request: InferRequest
    left_s: float | None
    kind: Kind | None = None


Answering: TypeAlias = Callable[[Exchange, Question], Awaitable[bytes]]
"""Gives an exchange its answer, as bytes; raises GatewayError."""


class Calls:
    """Serves calls within exchanges."""

    def __init__(self, desk: Desk, heavy: HeavyWork) -> None:
        self._desk = desk
        self._heavy = heavy

    async def serve(self, dialect: Dialect, answer: Answering, data: bytes, call: Call) -> bytes:
        """Answer one call within an exchange: its errors become statuses, and it is booked once."""
        question = Question(data, call.metadata, call.time_remaining())
        with self.opened(dialect, question.metadata) as exchange:
            encoded = await self.attempt(exchange, question, answer)
            call.trailing = self.trailing(exchange, question.metadata)
        if exchange.error is not None:
            raise refusal_of(exchange.error, dialect, exchange.target)
        return encoded

    def opened(self, dialect: Dialect, metadata: Metadata) -> Exchange:
        """The exchange of one message, with the id and the trace that its call brought."""
        exchange = self._desk.open(dialect, clean_id(metadata.get(REQUEST_ID) or ""))
        exchange.trace = metadata.trace(exchange.request_id)
        return exchange

    async def attempt(self, exchange: Exchange, question: Question, answer: Answering) -> bytes:
        """The answer's bytes; where there is none, b"" and the exchange's error."""
        try:
            self.admit(exchange, question.data)
            return await answer(exchange, question)
        except Exception as error:  # noqa: BLE001  # a supervisor: the client gets a status, we the trace
            self.note(exchange, question.data, error)
        return b""

    def admit(self, exchange: Exchange, data: bytes) -> None:
        """Account for a message until it is booked.

        Raises:
            BodyTooLarge: it is over `limits.max_body_bytes`.
            QueueFull: as `Exchange.hold`.
        """
        size, most = len(data), self._desk.limits.max_body_bytes
        if size > most:
            raise BodyTooLarge(
                f"got a message of {size} bytes, at most {most} are taken (limits.max_body_bytes)"
            )
        exchange.hold(size)

    def note(self, exchange: Exchange, data: bytes, error: Exception) -> None:
        """Let the exchange end with an error; one that is none of ours is logged, and told as an internal one."""
        if isinstance(error, GatewayError):
            exchange.error = without_frames(error)
            exchange.target = exchange.target or self._named(data)
        else:
            _log.error("a call failed inside the gateway", exc_info=error)
            exchange.error = GatewayError(f"internal error: {type(error).__name__}")

    def trailing(self, exchange: Exchange, metadata: Metadata) -> Trailing:
        """What is told with the end of a call: its id, its trace, and where its answer came from."""
        trailing = [(REQUEST_ID, exchange.request_id)]
        if exchange.trace is not None:
            trailing += returned(exchange.trace)
        if metadata.get(EXPLAIN):
            trailing += exchange.facts(self._desk.clock())
        return trailing

    async def elsewhere(
        self,
        exchange: Exchange,
        question: Question,
        work: Callable[[_In], _Out],
        told: _In,
    ) -> _Out:
        """What `work` makes of a message that is slow to read or write: in the worker process.

        Raises:
            GatewayError: the work's own, or as `HeavyWork.run`.
        """
        deadline = self._desk.reading_deadline(question.metadata, exchange)
        if question.left_s is not None:
            deadline = Deadline(min(deadline.at, exchange.started + question.left_s))
        return await self._heavy.run(deadline, work, told)

    def _named(self, data: bytes) -> Target | None:
        """The model of a message that could not be read, for the books; None if it names none of ours."""
        model = model_named(data, self._desk.pipeline.table.models)
        return Target(model=model) if model else None

    async def infer(self, exchange: Exchange, question: Question, request: InferRequest) -> Answer:
        """Ask the pipeline, as the call's metadata and the exchange's dialect say."""
        reading = Reading(request, question.left_s)
        route, deadline = self.route(exchange, question.metadata, reading)
        exchange.answer = answer = await self._desk.pipeline.infer(
            route,
            request,
            deadline=deadline,
            request_id=exchange.request_id,
            as_is=exchange.dialect == "tfs_grpc",
            trace=exchange.trace,
        )
        return answer

    def route(
        self, exchange: Exchange, metadata: Metadata, reading: Reading
    ) -> tuple[Route, Deadline]:
        """Who answers a request, and until when.

        Raises: as `Desk.deadline` and `Pipeline.route`.
        """
        desk, request, kind = self._desk, reading.request, reading.kind
        pipeline, scene = desk.pipeline, desk.pipeline.scene
        if kind is not None and kind.scene is scene and not metadata.get(ARM):
            exchange.target = kind.target
            deadline = desk.deadline(metadata, exchange, reading.left_s)
            exchange.route = route = pipeline.route_again(kind.route)
            return route, deadline
        asked = Target(model=request.model, version=request.version, label=request.label)
        exchange.target = target = desk.target(metadata, exchange, asked, request.signature)
        deadline = desk.deadline(metadata, exchange, reading.left_s)
        exchange.route = route = pipeline.route(target)
        if kind is not None and target is asked:  # nothing but the message decided
            kind.scene, kind.target, kind.route, kind.ready = scene, target, route, None
        return route, deadline


def refusal_of(error: GatewayError, dialect: Dialect, target: Target | None) -> Refusal:
    """The error's status, text, and when to come back, in the caller's dialect."""
    trailing: list[tuple[str, str]] = []
    if isinstance(error, GatewayBusy) and error.retryable:
        # gRPC's own convention for "come back after", in milliseconds.
        trailing.append(("grpc-retry-pushback-ms", str(round(error.retry_after_s * 1e3))))
    return Refusal(code_of(error, dialect), text_of(error, dialect, target), trailing)
