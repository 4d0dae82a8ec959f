"""How does a predict call get its answer in two steps: when it comes, and when its batch has ended?

Between the two there is one future, and no chain of coroutines; and the answers to the requests of one batch
are written one after the other, before gRPC sends the first. Else each would be written between two of gRPC's
own steps, which leave nothing of ours in the processor's caches: that made it several times as slow. What a call
says and what it is told is its method's business; only large messages, and what has to wait for more than a
batch, are awaited step by step.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import Protocol

from gateway.answering import Pending
from gateway.codecs.slow_messages import SLOW_BYTES
from gateway.errors import CallerLeft
from gateway.messages import Deadline, Dialect, InferRequest
from gateway.pipeline import Answer, Route
from gateway.servers.exchange import Desk, Exchange
from gateway.servers.grpc_calls import Call, Calls, Question, Reading, refusal_of

__all__ = ["DirectCalls", "PredictMethod"]


class PredictMethod(Protocol):
    """A method that asks a model and can be taken in steps."""

    @property
    def dialect(self) -> Dialect:
        """Whose method it is."""

    @property
    def as_is(self) -> bool:
        """See `Pipeline.infer`."""

    def read(self, exchange: Exchange, question: Question) -> Reading:
        """A message of at most `SLOW_BYTES`.

        Raises:
            GatewayError: it is refused.
        """

    def write(self, exchange: Exchange, request: InferRequest, answer: Answer) -> bytes | None:
        """The answer; None if writing it would hold up the event loop."""

    async def write_apart(
        self, exchange: Exchange, question: Question, request: InferRequest, answer: Answer
    ) -> bytes:
        """As `write`, elsewhere."""

    async def answer(self, exchange: Exchange, question: Question) -> bytes:
        """All of it, for a message of any size.

        Raises:
            GatewayError: there is no answer.
        """


class DirectCalls:
    """Serves the calls of predict methods within exchanges; made inside a running event loop."""

    def __init__(self, desk: Desk, calls: Calls) -> None:
        self._desk = desk
        self._calls = calls
        # Kept, because looking it up costs a getpid() each time.
        self._loop = asyncio.get_running_loop()

    async def serve(self, method: PredictMethod, data: bytes, call: Call) -> bytes:
        """As `Calls.serve`."""
        if len(data) > SLOW_BYTES:
            return await self._calls.serve(method.dialect, method.answer, data, call)
        answered: asyncio.Future[bytes | None] = self._loop.create_future()
        errand = _Errand(self._desk, self._calls, method, call, answered=answered)
        try:
            errand.begin(Question(data, call.metadata, call.time_remaining()))
            encoded = await answered
            if encoded is None:
                encoded = await errand.go_on()
        except BaseException:
            errand.leave()
            raise
        exchange = errand.exchange
        if exchange.error is not None:
            raise refusal_of(exchange.error, exchange.dialect, exchange.target)
        return encoded


class _Errand:
    """One call that is being served.

    Invariant: it is booked once, by `_close` or by `leave`.
    """

    __slots__ = (
        "_answered",
        "_call",
        "_calls",
        "_desk",
        "_is_closed",
        "_method",
        "_pending",
        "_question",
        "_request",
        "_rest",
        "exchange",
    )

    _question: Question
    _request: InferRequest
    _rest: Callable[[], Awaitable[bytes]]

    def __init__(
        self,
        desk: Desk,
        calls: Calls,
        method: PredictMethod,
        call: Call,
        *,
        answered: asyncio.Future[bytes | None],
    ) -> None:
        """Begin; `answered` is b"" where there is only the exchange's error, None if it has to `go_on`."""
        self._desk = desk
        self._calls = calls
        self._method = method
        self._call = call
        self._answered = answered
        self._pending: Pending | None = None
        self._is_closed = False
        self.exchange = calls.opened(method.dialect, call.metadata)

    def begin(self, question: Question) -> None:
        """Read it and put it to the pipeline; it may have been answered when this returns."""
        self._question = question
        try:
            self._ask(question)
        except Exception as error:  # noqa: BLE001  # a supervisor: they get a status, we the trace
            self._refuse(error)

    async def go_on(self) -> bytes:
        """What is left of an answer that has to be awaited; b"" where there is only the exchange's error."""
        encoded = b""
        try:
            encoded = await self._rest()
        except Exception as error:  # noqa: BLE001  # as in `begin`
            self._calls.note(self.exchange, self._question.data, error)
        self._close()
        return encoded

    def leave(self) -> None:
        """Its caller waits no more. Nothing is done for a call that was answered."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._pending is not None:
            self._pending.leave()
        self.exchange.error = CallerLeft("the call was cancelled")
        self._desk.book(self.exchange)

    def _ask(self, question: Question) -> None:
        calls, exchange, method = self._calls, self.exchange, self._method
        calls.admit(exchange, question.data)
        reading = method.read(exchange, question)
        self._request = request = reading.request
        route, deadline = calls.route(exchange, question.metadata, reading)
        self._pending = pending = self._desk.pipeline.begin(
            route,
            request,
            self._told,
            deadline=deadline,
            request_id=exchange.request_id,
            as_is=method.as_is,
            trace=exchange.trace,
            kind=reading.kind,
        )
        if pending is None:  # more than one batch
            self._rest = functools.partial(self._wait, route, deadline)
            self._tell(None)
        else:
            pending.awaited = self._answered

    def _told(self, answer: Answer | None, error: Exception | None) -> None:
        self._pending = None
        if answer is None:
            assert error is not None, "there is always one of them"
            self._refuse(error)
            return
        self.exchange.answer = answer
        try:
            encoded = self._method.write(self.exchange, self._request, answer)
        except Exception as failed:  # noqa: BLE001  # its batch-mates are still to be answered
            self._refuse(failed)
            return
        if encoded is None:
            self._rest = functools.partial(self._write_apart, answer)
        else:
            self._close()
        self._tell(encoded)

    async def _wait(self, route: Route, deadline: Deadline) -> bytes:
        exchange, request = self.exchange, self._request
        exchange.answer = answer = await self._desk.pipeline.infer(
            route,
            request,
            deadline=deadline,
            request_id=exchange.request_id,
            as_is=self._method.as_is,
            trace=exchange.trace,
        )
        return self._method.write(exchange, request, answer) or await self._write_apart(answer)

    async def _write_apart(self, answer: Answer) -> bytes:
        return await self._method.write_apart(self.exchange, self._question, self._request, answer)

    def _refuse(self, error: Exception) -> None:
        self._calls.note(self.exchange, self._question.data, error)
        self._close()
        self._tell(b"")

    def _close(self) -> None:
        self._is_closed = True
        self._call.trailing = self._calls.trailing(self.exchange, self._question.metadata)
        self._desk.book(self.exchange)

    def _tell(self, encoded: bytes | None) -> None:
        if not self._answered.done():  # else it was cancelled, and its caller has not run yet
            self._answered.set_result(encoded)
