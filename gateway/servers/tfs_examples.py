"""How are classify, regress and multi-inference answered?

By the arm's backend: the gateway picks the arm, passes the examples on over gRPC, and gives the answer
back in the form in which it was asked. The model's signature is not looked up here either; what fits it,
and what its outputs mean, only the backend can say.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TypeVar

from gateway._stubs import tfs_wire_pb2 as wire
from gateway.codecs import tfs_json_examples, tfs_proto_examples
from gateway.codecs.tfs_json_examples import ExamplesBody
from gateway.codecs.tfs_proto_examples import ExamplesRequest
from gateway.errors import BackendInvalid, InvalidRequest
from gateway.messages import Deadline, ExampleMethod, Target
from gateway.pipeline import Pipeline
from gateway.servers.exchange import Desk, Exchange, Headers

__all__ = ["ExampleCalls", "parsed", "read_examples"]

_T = TypeVar("_T")

_METHODS: Mapping[str, ExampleMethod] = {"classify": "Classify", "regress": "Regress"}


class ExampleCalls:
    """Answers questions about examples, whichever way they came."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._pipeline: Pipeline = desk.pipeline

    async def answer_json(
        self, exchange: Exchange, headers: Headers, asked: Target, *, verb: str, body: ExamplesBody
    ) -> bytes:
        """The JSON answer to a classify or regress body; `verb` says which.

        Raises:
            GatewayError: as `Pipeline.route` and `Pipeline.ask`.
        """
        method = _METHODS[verb]
        target = self._desk.target(headers, exchange, asked, body.signature_name)
        request = tfs_proto_examples.make_request(method, target, body.input)
        data = await self._ask(exchange, request, self._desk.deadline(headers, exchange, None))
        response = _read(target.model, lambda: tfs_proto_examples.decode_response(method, data))
        if isinstance(response, wire.ClassificationResponse):
            return tfs_json_examples.encode_classifications(response.result)
        assert isinstance(response, wire.RegressionResponse), "one of the two verbs"
        return tfs_json_examples.encode_regressions(response.result)

    async def answer_message(
        self,
        exchange: Exchange,
        headers: Headers,
        method: ExampleMethod,
        data: bytes,
        *,
        timeout_s: float | None,
    ) -> bytes:
        """The answer message to a request message of `method`.

        Raises:
            InvalidRequest: the message.
            GatewayError: as `Pipeline.route` and `Pipeline.ask`.
        """
        read = tfs_proto_examples.decode_request(method, data)
        asked = read.target
        target = self._desk.target(headers, exchange, asked, asked.signature)
        request = dataclasses.replace(read, target=target)
        deadline = self._desk.deadline(headers, exchange, timeout_s)
        answer = await self._ask(exchange, request, deadline)
        name = target.model
        return _read(name, lambda: tfs_proto_examples.encode_response(method, answer, name))

    async def _ask(self, exchange: Exchange, request: ExamplesRequest, deadline: Deadline) -> bytes:
        exchange.target = target = request.target
        exchange.route = route = self._pipeline.route_examples(target)

        def encode(model: str, version: str) -> bytes:
            return tfs_proto_examples.encode_request(request, model, version)

        trace = exchange.trace
        return await self._pipeline.ask(
            route, request.method, encode, deadline=deadline, trace=trace
        )


def read_examples(body: bytes) -> tuple[str, bytes]:
    """The signature's name and the examples of a JSON body, as bytes: messages do not cross to a worker.

    Raises:
        InvalidRequest: the body, in TF Serving's words.
    """
    found = tfs_json_examples.decode_examples(body)
    return found.signature_name, found.input.SerializeToString()


def parsed(signature_name: str, examples: bytes) -> ExamplesBody:
    """What `read_examples` has read."""
    return ExamplesBody(signature_name, wire.Input.FromString(examples))


def _read(model: str, decode: Callable[[], _T]) -> _T:
    """What a codec makes of the backend's answer: it blames the sender, which is the backend here."""
    try:
        return decode()
    except InvalidRequest as error:
        raise BackendInvalid(f"{model}: the backend's answer cannot be read: {error}") from error
