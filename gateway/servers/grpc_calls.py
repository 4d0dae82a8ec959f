"""How is one gRPC call served: its metadata, its exchange, its error as a status?

What every service on the gRPC port has in common; which methods there are is in `grpc`, `oip_grpc` and
`grpc_health`. `grpc.aio` cancels the method when its client cancels, disconnects or passes its deadline,
which is all that a leaving client needs.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Final, Self, TypeAlias, TypeVar

import grpc

from gateway.codecs.named_model import model_named
from gateway.codecs.trace_context import TRACEPARENT, TRACESTATE, read_trace, returned
from gateway.errors import BodyTooLarge, GatewayBusy, GatewayError, InvalidRequest
from gateway.messages import Deadline, Dialect, InferRequest, Target, Trace
from gateway.pipeline import Answer
from gateway.servers.exchange import EXPLAIN, REQUEST_ID, Desk, Exchange, clean_id
from gateway.servers.heavy import HeavyWork
from gateway.servers.problems import code_of, text_of
from gateway.values import value_class

__all__ = [
    "Answering",
    "CallMetadata",
    "Calls",
    "Context",
    "Method",
    "Methods",
    "Question",
    "Questions",
    "abort",
]

_log = logging.getLogger("tandem.grpc")

Context: TypeAlias = "grpc.aio.ServicerContext[bytes, bytes]"
Method: TypeAlias = Callable[[bytes, Context], Awaitable[bytes]]
Questions: TypeAlias = AsyncIterator[bytes]

_In = TypeVar("_In")
_Out = TypeVar("_Out")

_MAX_QUESTION_BYTES: Final = 64 * 1024
"""What is asked about a model has names in it, and no tensors."""

_told: ContextVar[Sequence[tuple[str, str | bytes]]] = ContextVar("_told", default=())
"""The metadata of the call that a task serves: gRPC gives every call a task of its own."""


class Methods(grpc.GenericRpcHandler):
    """Every method on the port by its path. What nobody serves is left to `unknown`.

    One for all of them: gRPC asks its handlers in turn. It tells the metadata here, before the message has
    come, and would have to build them again for whoever asks its context.
    """

    def __init__(
        self,
        methods: Mapping[str, grpc.RpcMethodHandler[Any, Any]],
        unknown: grpc.GenericRpcHandler,
    ) -> None:
        self._methods = methods
        self._unknown = unknown

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """The method that a call asks for."""
        method = self._methods.get(handler_call_details.method)
        if method is None:
            return self._unknown.service(handler_call_details)
        _told.set(handler_call_details.invocation_metadata)
        return method


class CallMetadata:
    """A call's metadata, text values only, looked up by lower-case name."""

    __slots__ = ("_pairs", "_values")

    def __init__(self, pairs: Sequence[tuple[str, str | bytes]]) -> None:
        self._pairs = pairs
        self._values = dict(pairs)

    @classmethod
    def current(cls) -> Self:
        """Those of the call that this task serves."""
        return cls(_told.get())

    def get(self, name: str, /) -> str | None:
        """The value, or None."""
        value = self._values.get(name)
        return value if isinstance(value, str) else None

    def trace(self, request_id: str) -> Trace | None:
        """What the caller brought to find the request of this id again, None if nothing."""
        values = self._values
        if TRACEPARENT not in values and values.get(REQUEST_ID) != request_id:
            return None
        told: dict[str, list[str]] = {TRACEPARENT: [], TRACESTATE: []}
        for key, value in self._pairs:  # where a name may stand several times
            if key in told and isinstance(value, str):
                told[key].append(value)
        return read_trace(request_id, told[TRACEPARENT], told[TRACESTATE])


@value_class()
class Question:
    """One request message, with what its call says beside it.

    Attributes:
        left_s: Until the call's own deadline, None where it has none.
    """

    data: bytes
    metadata: CallMetadata
    left_s: float | None


Answering: TypeAlias = Callable[[Exchange, Question], Awaitable[bytes]]
"""Gives an exchange its answer, as bytes; raises GatewayError."""


class Calls:
    """Serves calls within exchanges."""

    def __init__(self, desk: Desk, heavy: HeavyWork) -> None:
        self._desk = desk
        self._heavy = heavy

    async def serve(
        self, dialect: Dialect, answer: Answering, data: bytes, context: Context
    ) -> bytes:
        """Answer one call within an exchange: its errors become statuses, and it is booked once."""
        question = Question(data, CallMetadata.current(), context.time_remaining())
        with self.opened(dialect, question.metadata) as exchange:
            encoded = await self.attempt(exchange, question, answer)
            trailing = [(REQUEST_ID, exchange.request_id)]
            if exchange.trace is not None:
                trailing += returned(exchange.trace)
            if question.metadata.get(EXPLAIN):
                trailing += exchange.facts(self._desk.clock())
        context.set_trailing_metadata(tuple(trailing))
        if exchange.error is not None:
            await abort(context, exchange.error, dialect, exchange.target)
        return encoded

    def opened(self, dialect: Dialect, metadata: CallMetadata) -> Exchange:
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
        context: Context,
    ) -> bytes:
        """Answer a question that needs no waiting: `method` reads it, and returns what will tell."""
        target: Target | None = None
        try:
            if len(data) > _MAX_QUESTION_BYTES:
                raise InvalidRequest(
                    f"got {len(data)} bytes, a question has at most {_MAX_QUESTION_BYTES}"
                )
            target, tell = method(data)
            return tell()
        except GatewayError as error:
            await abort(context, error, dialect, target)
            raise AssertionError("abort always raises") from error


async def abort(
    context: Context, error: GatewayError, dialect: Dialect, target: Target | None
) -> Any:
    """End the call with the error's status, text, and when to come back; always raises."""
    code = grpc.StatusCode[code_of(error, dialect)]
    trailing = list(context.trailing_metadata() or ())
    if isinstance(error, GatewayBusy) and error.retryable:
        # gRPC's own convention for "come back after", in milliseconds.
        trailing.append(("grpc-retry-pushback-ms", str(round(error.retry_after_s * 1e3))))
    await context.abort(code, text_of(error, dialect, target), tuple(trailing))
