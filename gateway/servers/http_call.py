"""What does an endpoint get of an HTTP request, and what does it give back?

A predict request can be served in three steps, of which only what lies between them waits: `begin` reads it,
the pipeline is asked, `reply` writes the answer. `direct.py` takes them one by one and needs no coroutine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeAlias

from gateway.messages import Deadline, InferRequest, Target
from gateway.pipeline import Answer, Pipeline, Route
from gateway.servers.exchange import Exchange, Known
from gateway.values import value_class

__all__ = [
    "JSON_TYPE",
    "AsgiHeaders",
    "Call",
    "Endpoint",
    "Pairs",
    "PredictEndpoint",
    "Question",
    "Reply",
    "reply_to",
]

Pairs: TypeAlias = list[tuple[bytes, bytes]]
JSON_TYPE = b"application/json"


class AsgiHeaders:
    """A request's headers, looked up by lower-case name; of a repeated header the last one counts.

    They are never written to: requests with the same head share them.
    """

    __slots__ = ("raw",)

    def __init__(self, pairs: Pairs) -> None:
        self.raw: Mapping[bytes, bytes] = dict(pairs)

    def get(self, name: str, /) -> str | None:
        """The header's value, or None."""
        value = self.raw.get(name.encode())
        return None if value is None else value.decode("latin-1")


@value_class()
class Call:
    """One HTTP request, its body read.

    Attributes:
        path: As sent: percent-encoded, and with the query where that is part of what is matched.
        known: Where requests with the same head went, None if that is not kept.
    """

    method: str
    path: str
    headers: AsgiHeaders
    body: bytes
    known: Known | None = None


@value_class()
class Reply:
    """One HTTP answer."""

    status: int
    body: bytes
    content_type: bytes = JSON_TYPE
    headers: Sequence[tuple[bytes, bytes]] = ()


class Endpoint(Protocol):
    """What answers the raw requests of one dialect."""

    async def __call__(self, exchange: Exchange, call: Call) -> Reply:
        """Answer one call."""
        ...

    def target_of(self, method: str, path: str) -> Target | None:
        """The model that a path names, None if it names none; for requests whose body cannot be had."""
        ...


@value_class()
class Question:
    """What a predict request asks of the pipeline.

    Attributes:
        form: How the endpoint shall write the answer; its own business.
        as_is: See `Pipeline.infer`.
    """

    call: Call
    route: Route
    request: InferRequest
    deadline: Deadline
    form: object
    as_is: bool = False


class PredictEndpoint(Endpoint, Protocol):
    """An endpoint that can take a predict request in steps."""

    def is_predict(self, path: str) -> bool:
        """Whether a POST to this path is a predict request."""
        ...

    def begin(self, exchange: Exchange, call: Call) -> Question | None:
        """Read a predict request; None, and nothing is done, if reading it would hold up the event loop.

        Raises:
            GatewayError: it is refused.
        """
        ...

    def reply(self, exchange: Exchange, question: Question, answer: Answer) -> Reply | None:
        """Write the answer; None if writing it would hold up the event loop.

        Raises:
            GatewayError: it cannot be written.
        """
        ...

    async def reply_apart(self, exchange: Exchange, question: Question, answer: Answer) -> Reply:
        """As `reply`, elsewhere."""
        ...


async def reply_to(
    endpoint: PredictEndpoint, pipeline: Pipeline, exchange: Exchange, question: Question
) -> Reply:
    """What is left of a predict request that has been read: its answer is awaited, and written.

    Raises:
        GatewayError: there is no answer, or it cannot be written.
    """
    exchange.answer = answer = await pipeline.infer(
        question.route,
        question.request,
        deadline=question.deadline,
        request_id=exchange.request_id,
        as_is=question.as_is,
        trace=exchange.trace,
    )
    reply = endpoint.reply(exchange, question, answer)
    return reply or await endpoint.reply_apart(exchange, question, answer)
