"""How does a predict request that is like most others get its answer without a task of its own?

A task, a future and a chain of coroutines cost a small request a quarter of its time on the event loop. A
predict request that arrives in one piece and asks for nothing unusual is read at once and enters its arm's
queue; when its batch has been answered, its answer is written there and then. What such a request says and
what it gets is the endpoint's business, the same as of every other (`rest.py`): only the steps between are
taken by calls in place of awaits. Whatever has to wait for more than a batch goes on in a task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any, Protocol, cast

from gateway.answering import Answer, Pending
from gateway.errors import CallerLeft, GatewayError
from gateway.http1.cycle import CLIENT_LEFT
from gateway.messages import Dialect
from gateway.servers.exchange import EXPLAIN, REQUEST_ID, Desk, Exchange, Known
from gateway.servers.heavy import HEAVY_BYTES
from gateway.servers.http_call import AsgiHeaders, Call, PredictEndpoint, Question, Reply, reply_to
from gateway.servers.replies import error_reply, internal, replied, without_frames
from gateway.servers.rest import dialect_of
from gateway.values import value_class

__all__ = ["Client", "DirectRoutes", "Errand", "Head"]

_UNUSUAL = frozenset(
    name.encode()
    for name in (
        REQUEST_ID,
        EXPLAIN,
        "traceparent",
        "tracestate",
        "content-encoding",
        "expect",
        "transfer-encoding",
    )
)
_RAW = b"inference-header-content-length"  # all but little of the body is bytes of tensors
_RAW_BYTES = 8 * 1024 * 1024  # of such a body, most of which is only looked at


class Client(Protocol):
    """Who waits for the answer to one request."""

    def answer(self, reply: Reply, request_id: str) -> None:
        """Send the answer, to who may have gone."""
        ...

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A task that ends before the server does."""
        ...


@value_class()
class Head:
    """What can be told of a request before its body; the same for every request with the same head."""

    dialect: Dialect
    endpoint: PredictEndpoint
    path: str
    headers: AsgiHeaders
    known: Known


class DirectRoutes:
    """The predict endpoints, by dialect."""

    def __init__(self, desk: Desk, endpoints: Mapping[Dialect, PredictEndpoint]) -> None:
        self._desk = desk
        self._endpoints = endpoints

    def read(self, scope: Mapping[str, Any]) -> Head | None:
        """The head of a request that can be served here, None for any other."""
        dialect = dialect_of(scope["method"], scope["path"]) if scope["method"] == "POST" else None
        endpoint = None if dialect is None else self._endpoints.get(dialect)
        if dialect is None or endpoint is None or scope["query_string"]:
            return None
        headers = AsgiHeaders(scope["headers"])
        path = scope["raw_path"].decode("latin-1")
        if not _UNUSUAL.isdisjoint(headers.raw) or not endpoint.is_predict(path):
            return None
        return Head(dialect, endpoint, path, headers, Known())

    def hold(self, head: Head, size: int) -> Exchange | None:
        """The exchange of a request whose large body can be read here; its bytes are held already.

        None also where there is little room: who only says that a body will come shall not keep off those
        who send one.
        """
        desk = self._desk
        if (
            size > self._most_bytes(head)
            or 2 * (desk.held_bytes + size) > desk.limits.max_bytes_in_flight
        ):
            return None
        exchange = desk.open(head.dialect, "")
        exchange.hold(size)
        return exchange

    def begin(
        self,
        head: Head,
        body: bytes | memoryview,
        client: Client,
        held: Exchange | None = None,
    ) -> Errand | None:
        """Serve a request; None, and nothing is done, if its body cannot be read here.

        It may have been answered when this returns. Until it is, its client may leave: see `Errand.abandon`.
        """
        desk = self._desk
        size = len(body)
        if held is not None:
            exchange = held
            exchange.started = desk.clock()
        elif size > min(desk.limits.max_body_bytes, HEAVY_BYTES) and size > self._most_bytes(head):
            return None
        else:
            exchange = desk.open(head.dialect, "")
        errand = Errand(desk, head.endpoint, exchange, client)
        try:
            if held is None:
                exchange.hold(size)
            # Where it is held, the endpoint reads views as well.
            call = Call("POST", head.path, head.headers, cast("bytes", body), head.known)
            question = head.endpoint.begin(exchange, call)
            if question is None:
                exchange.release()
                return None
            errand.ask(question)
        except GatewayError as error:
            _name_target(exchange, head)
            errand.refuse(without_frames(error))
        except Exception as error:  # noqa: BLE001  # a supervisor: they get an answer, we the trace
            _name_target(exchange, head)
            errand.refuse(internal(error))
        return errand

    def _most_bytes(self, head: Head) -> int:
        is_raw = head.dialect == "oip_rest" and _RAW in head.headers.raw
        return min(self._desk.limits.max_body_bytes, _RAW_BYTES if is_raw else HEAVY_BYTES)


def _name_target(exchange: Exchange, head: Head) -> None:
    """Let the books name the model of a request that was refused before its body was looked at."""
    if exchange.target is None:
        exchange.target = head.endpoint.target_of("POST", head.path)


class Errand:
    """One request that is being served.

    Invariant: it is booked once: by `_close`, by `abandon`, or by its task.
    """

    __slots__ = ("_client", "_desk", "_endpoint", "_exchange", "_pending", "_question", "_task")

    _question: Question

    def __init__(
        self, desk: Desk, endpoint: PredictEndpoint, exchange: Exchange, client: Client
    ) -> None:
        self._desk = desk
        self._endpoint = endpoint
        self._exchange = exchange
        self._client = client
        self._pending: Pending | None = None
        self._task: asyncio.Task[None] | None = None

    def ask(self, question: Question) -> None:
        """Put its question to the pipeline.

        Raises:
            GatewayError: it is refused at once.
        """
        self._question = question
        self._pending = self._desk.pipeline.begin(
            question.route,
            question.request,
            self._told,
            deadline=question.deadline,
            request_id=self._exchange.request_id,
            as_is=question.as_is,
        )
        if self._pending is None:
            self._go_on(reply_to(self._endpoint, self._desk.pipeline, self._exchange, question))

    def refuse(self, error: GatewayError) -> None:
        """Answer with an error."""
        self._exchange.error = error
        self._close(error_reply(self._exchange, error))

    def abandon(self) -> None:
        """The client has gone, before it was answered."""
        if self._task is not None:
            # Behind its first step: a task that is cancelled before that books nothing.
            asyncio.get_running_loop().call_soon(self._task.cancel, CLIENT_LEFT)
            return
        if self._pending is not None:
            self._pending.leave()
        self._exchange.error = CallerLeft("the client has left")
        self._desk.book(self._exchange)

    def _told(self, answer: Answer | None, error: Exception | None) -> None:
        self._pending = None
        if answer is None:
            assert error is not None, "there is always one of them"
            self.refuse(error if isinstance(error, GatewayError) else internal(error))
            return
        self._exchange.answer = answer
        try:
            reply = self._endpoint.reply(self._exchange, self._question, answer)
        except GatewayError as refused:
            self.refuse(without_frames(refused))
        except Exception as failed:  # noqa: BLE001  # its batch-mates are still to be answered
            self.refuse(internal(failed))
        else:
            if reply is None:
                self._go_on(self._endpoint.reply_apart(self._exchange, self._question, answer))
            else:
                self._close(reply)

    def _close(self, reply: Reply) -> None:
        self._desk.book(self._exchange)
        self._client.answer(reply, self._exchange.request_id)

    def _go_on(self, reply: Coroutine[Any, Any, Reply]) -> None:
        self._task = self._client.spawn(self._answer_later(reply))

    async def _answer_later(self, reply: Coroutine[Any, Any, Reply]) -> None:
        with self._exchange as exchange:
            try:
                found = await replied(exchange, reply)
            except asyncio.CancelledError:
                if exchange.error is not None:  # it is not the client that has left
                    found = error_reply(exchange, exchange.error)
                    self._client.answer(found, exchange.request_id)
                raise
        self._client.answer(found, exchange.request_id)
