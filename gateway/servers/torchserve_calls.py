"""How is a TorchServe prediction answered, whichever way it came?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from gateway.codecs.torchserve_fields import Field
from gateway.codecs.torchserve_predictions import (
    Prediction,
    decode_body,
    decode_fields,
    encode_answer,
    slow_bytes,
    slow_field_bytes,
)
from gateway.errors import UnknownModel
from gateway.messages import Deadline, Target
from gateway.pipeline import Route
from gateway.servers.exchange import Desk, Exchange, Headers
from gateway.servers.heavy import HEAVY_BYTES, HeavyWork, are_heavy
from gateway.servers.torchserve_problems import UnknownVersion
from gateway.tensors import Signature

__all__ = ["TorchServeCalls"]


class TorchServeCalls:
    """Answers predictions: the model comes first, since only its signature tells what the bytes are."""

    def __init__(self, desk: Desk, heavy: HeavyWork) -> None:
        self._desk = desk
        self._heavy = heavy

    async def answer_body(
        self, exchange: Exchange, headers: Headers, asked: Target, body: bytes
    ) -> bytes:
        """The answer to an HTTP body.

        Raises:
            GatewayError: as `Pipeline.route`, `decode_body` and `Pipeline.infer`.
        """
        kind, model = headers.get("content-type"), asked.model
        route, deadline = self._route(exchange, headers, asked, None)
        signature = route.signature
        if len(body) > HEAVY_BYTES and slow_bytes(body, kind, signature) > HEAVY_BYTES:
            read = partial(decode_body, body, kind, model=model)
            route, prediction = await self._read_elsewhere(exchange, route, deadline, read)
        else:
            prediction = decode_body(body, kind, signature, model=model)
        return await self._infer(exchange, route, prediction, deadline)

    async def answer_fields(
        self,
        exchange: Exchange,
        headers: Headers,
        asked: Target,
        *,
        fields: Sequence[Field],
        timeout_s: float | None,
    ) -> bytes:
        """The answer to the fields of a gRPC request.

        Raises:
            GatewayError: as `Pipeline.route`, `decode_fields` and `Pipeline.infer`.
        """
        route, deadline = self._route(exchange, headers, asked, timeout_s)
        signature, model = route.signature, asked.model
        if slow_field_bytes(fields, signature) > HEAVY_BYTES:
            read = partial(decode_fields, fields, model=model)
            route, prediction = await self._read_elsewhere(exchange, route, deadline, read)
        else:
            prediction = decode_fields(fields, signature, model=model)
        return await self._infer(exchange, route, prediction, deadline)

    def _route(
        self, exchange: Exchange, headers: Headers, asked: Target, timeout_s: float | None
    ) -> tuple[Route, Deadline]:
        exchange.target = target = self._desk.target(headers, exchange, asked, "")
        deadline = self._desk.deadline(headers, exchange, timeout_s)
        return self._route_to(exchange, target), deadline

    def _route_to(self, exchange: Exchange, target: Target) -> Route:
        pipeline = self._desk.pipeline
        try:
            exchange.route = route = pipeline.route(target)
        except UnknownModel as error:
            if target.model in pipeline.table.models:
                raise UnknownVersion(error.message) from error
            raise
        return route

    async def _read_elsewhere(
        self,
        exchange: Exchange,
        route: Route,
        deadline: Deadline,
        read: Callable[[Signature], Prediction],
    ) -> tuple[Route, Prediction]:
        """What the worker process reads by the signature, and who answers once it has been read.

        A reload in the meantime closes the lane that was found before, and may change the signature; then
        the bytes may mean something else, and are read again. The deadline bounds how often.
        """
        pipeline, target = self._desk.pipeline, exchange.target
        assert target is not None, "a route is found by one"
        while True:
            scene = pipeline.scene
            prediction = await self._heavy.run(deadline, read, route.signature)
            if pipeline.scene is scene:
                return route, prediction
            before, route = route, self._route_to(exchange, target)
            if route.signature == before.signature:
                return route, prediction

    async def _infer(
        self, exchange: Exchange, route: Route, prediction: Prediction, deadline: Deadline
    ) -> bytes:
        exchange.answer = answer = await self._desk.pipeline.infer(
            route,
            prediction.request,
            deadline=deadline,
            request_id=exchange.request_id,
            trace=exchange.trace,
        )
        response = answer.response
        if are_heavy(response.outputs):
            return await self._heavy.run(deadline, encode_answer, response, prediction.form)
        return encode_answer(response, prediction.form)
