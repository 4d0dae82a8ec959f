"""How is one gRPC call served, whatever transport brought it: bytes in, bytes out, or a refusal?

What every service on the gRPC port has in common; which methods there are is in `grpc`, `oip_grpc` and
`grpc_health`. Nothing here knows a transport: `grpc_aio` serves the methods with `grpc.aio`, `grpc_asgi` as
an ASGI application. Both cancel the method when its client cancels, disconnects or passes its deadline,
which is all that a leaving client needs.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Final, Protocol, TypeAlias, TypeVar

from gateway.codecs.named_model import model_named
from gateway.codecs.trace_context import returned
from gateway.errors import BodyTooLarge, GatewayBusy, GatewayError, InvalidRequest
from gateway.messages import Deadline, Dialect, InferRequest, Target, Trace
from gateway.pipeline import Answer
from gateway.servers.exchange import EXPLAIN, REQUEST_ID, Desk, Exchange, Headers, clean_id
from gateway.servers.heavy import HeavyWork
from gateway.servers.problems import code_of, text_of
from gateway.values import value_class

__all__ = [
    "Answering",
    "Call",
    "Calls",
    "Messages",
    "Metadata",
    "Question",
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

_MAX_QUESTION_BYTES: Final = 64 * 1024
"""What is asked about a model has names in it, and no tensors."""


@value_class()
class Question:
    """One request message, with what its call says beside it.

    Attributes:
        left_s: Until the call's own deadline, None where it has none.
    """

    data: bytes
    metadata: Metadata
    left_s: float | None


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
            trailing = [(REQUEST_ID, exchange.request_id)]
            if exchange.trace is not None:
                trailing += returned(exchange.trace)
            if question.metadata.get(EXPLAIN):
                trailing += exchange.facts(self._desk.clock())
        call.trailing = trailing
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
            self._check_size(len(question.data))
            exchange.hold(len(question.data))
            return await answer(exchange, question)
        except GatewayError as error:
            exchange.error = error
            exchange.target = exchange.target or self._named(question.data)
        except Exception as error:  # noqa: BLE001  # a supervisor: the client gets a status, we the trace
            _log.exception("a call failed inside the gateway")
            exchange.error = GatewayError(f"internal error: {type(error).__name__}")
        return b""

    def _check_size(self, size: int) -> None:
        most = self._desk.limits.max_body_bytes
        if size > most:
            raise BodyTooLarge(
                f"got a message of {size} bytes, at most {most} are taken (limits.max_body_bytes)"
            )

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
        desk, metadata = self._desk, question.metadata
        asked = Target(model=request.model, version=request.version, label=request.label)
        exchange.target = target = desk.target(metadata, exchange, asked, request.signature)
        deadline = desk.deadline(metadata, exchange, question.left_s)
        exchange.route = route = desk.pipeline.route(target)
        exchange.answer = answer = await desk.pipeline.infer(
            route,
            request,
            deadline=deadline,
            request_id=exchange.request_id,
            as_is=exchange.dialect == "tfs_grpc",
            trace=exchange.trace,
        )
        return answer

    @staticmethod
    async def tell(
        dialect: Dialect,
        method: Callable[[bytes], tuple[Target | None, Callable[[], bytes]]],
        data: bytes,
        _: Call,
    ) -> bytes:
        """Answer a question that needs no waiting: `method` reads it, and returns what will tell."""
        return await Calls.find_out(dialect, functools.partial(_at_once, method), data, _)

    @staticmethod
    async def find_out(
        dialect: Dialect,
        method: Callable[[bytes], tuple[Target | None, Callable[[], Awaitable[bytes]]]],
        data: bytes,
        _: Call,
    ) -> bytes:
        """Answer a question that others must be asked about: `method` is as in `tell`, and what it returns waits."""
        target: Target | None = None
        try:
            if len(data) > _MAX_QUESTION_BYTES:
                raise InvalidRequest(
                    f"got {len(data)} bytes, a question has at most {_MAX_QUESTION_BYTES}"
                )
            target, find_out = method(data)
            return await find_out()
        except GatewayError as error:
            raise refusal_of(error, dialect, target) from error


def _at_once(
    method: Callable[[bytes], tuple[Target | None, Callable[[], bytes]]], data: bytes
) -> tuple[Target | None, Callable[[], Awaitable[bytes]]]:
    target, tell = method(data)

    async def find_out() -> bytes:
        return tell()

    return target, find_out


def refusal_of(error: GatewayError, dialect: Dialect, target: Target | None) -> Refusal:
    """The error's status, text, and when to come back, in the caller's dialect."""
    trailing: list[tuple[str, str]] = []
    if isinstance(error, GatewayBusy) and error.retryable:
        # gRPC's own convention for "come back after", in milliseconds.
        trailing.append(("grpc-retry-pushback-ms", str(round(error.retry_after_s * 1e3))))
    return Refusal(code_of(error, dialect), text_of(error, dialect, target), trailing)
