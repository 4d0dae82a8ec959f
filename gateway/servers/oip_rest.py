"""How is `POST /v2/models/…/infer` of the Open Inference Protocol answered? The rest is in `oip_routes`."""

from __future__ import annotations

import re
from urllib.parse import unquote

from gateway.codecs import oip_json
from gateway.codecs.oip_raw_request import decode_raw_request
from gateway.errors import InvalidRequest
from gateway.messages import Deadline, InferRequest, InferResponse, Target
from gateway.pipeline import Pipeline, Route
from gateway.servers.exchange import Desk, Exchange
from gateway.servers.explain import explained, wants_explanation
from gateway.servers.heavy import HEAVY_BYTES, HeavyWork, are_heavy
from gateway.servers.packing import PACKED_BYTES, encoding_of, packed
from gateway.servers.remembered import remembered
from gateway.servers.rest import Call, Reply

__all__ = ["OipRest", "timeout_s_of"]

_INFER = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?/infer")
_HEADER_LENGTH = "inference-header-content-length"
_ACCEPT = b"accept-encoding"
_ALL_BINARY = oip_json.OutputForm(binary=True)


@remembered
def _match(path: str) -> Target | None:
    found = _INFER.fullmatch(path)
    if found is None:
        return None
    model, version = found.groups()
    return Target(model=unquote(model), version=None if version is None else unquote(version))


def timeout_s_of(request: InferRequest) -> float | None:
    """The `timeout` parameter (microseconds, as Triton's schedule policy has it), in seconds.

    Raises:
        InvalidRequest: it is not a number above 0; 0 means that none is asked for.
    """
    asked = request.parameters.get("timeout", 0)
    if isinstance(asked, bool) or not isinstance(asked, int | float) or not asked >= 0:
        raise InvalidRequest(f"got {asked!r}, wanted microseconds", path="parameters.timeout")
    return None if asked == 0 else asked / 1e6


def _header_length(call: Call) -> int | None:
    text = call.headers.get(_HEADER_LENGTH)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):  # noqa: PLR2004 - digits of int64
        raise InvalidRequest(
            f"got {text[:64]!r}, wanted a number of bytes", path="Inference-Header-Content-Length"
        )
    return int(text)


class OipRest:
    """The endpoint of infer."""

    def __init__(self, desk: Desk, heavy: HeavyWork) -> None:
        self._desk = desk
        self._heavy = heavy
        self._pipeline: Pipeline = desk.pipeline

    def target_of(self, method: str, path: str) -> Target | None:
        """The model that a path names, None if it names none."""
        return _match(path) if method == "POST" else None

    async def __call__(self, exchange: Exchange, call: Call) -> Reply:
        """Answer one call."""
        exchange.target = asked = _match(call.path)
        if asked is None:
            raise InvalidRequest(f"Malformed request: {call.method} {call.path}")
        length, size = _header_length(call), len(call.body)
        route: Route | None = None
        if length == 0:
            route = self._route(exchange, call, asked)
            request = decode_raw_request(
                call.body, route.signature, model=asked.model, version=asked.version
            )
            form = _ALL_BINARY
        elif (size if length is None else min(length, size)) > HEAVY_BYTES:
            request, form = await self._heavy.run(
                self._desk.reading_deadline(call.headers, exchange),
                oip_json.decode_request,
                call.body,
                length,
                model=asked.model,
                version=asked.version,
            )
        else:
            request, form = oip_json.decode_request(
                call.body, length, model=asked.model, version=asked.version
            )
        deadline = self._desk.deadline(call.headers, exchange, timeout_s_of(request))
        explain = bool(request.parameters) and wants_explanation(request)
        if route is None:
            route = self._route(exchange, call, asked)
        answer = await self._pipeline.infer(
            route,
            request,
            deadline=deadline,
            request_id=exchange.request_id,
            trace=exchange.trace,
        )
        exchange.answer = answer
        response = answer.response
        if explain:
            response = explained(answer, route, self._desk.clock() - exchange.started)
        return await self._reply(call, response, form, deadline)

    def _route(self, exchange: Exchange, call: Call, asked: Target) -> Route:
        exchange.target = target = self._desk.target(call.headers, exchange, asked, "")
        exchange.route = route = self._pipeline.route(target)
        return route

    async def _reply(
        self, call: Call, response: InferResponse, form: oip_json.OutputForm, deadline: Deadline
    ) -> Reply:
        if are_heavy(tensor for tensor in response.outputs if not form.is_binary(tensor.name)):
            encode = oip_json.encode_response
            body, header_length = await self._heavy.run(deadline, encode, response, form)
        else:
            body, header_length = oip_json.encode_response(response, form)
        reply = Reply(200, body)
        if header_length is not None:
            headers = [(_HEADER_LENGTH.encode(), str(header_length).encode())]
            reply = Reply(200, body, b"application/octet-stream", headers)
        if len(body) < PACKED_BYTES or _ACCEPT not in call.headers.raw:
            return reply
        return await _packed(reply, call.headers.raw[_ACCEPT].decode("latin-1"))


async def _packed(reply: Reply, accepted: str) -> Reply:
    """The reply, compressed if the caller wants that; its header length stays that of the plain body."""
    encoding = encoding_of(accepted)
    if encoding is None:
        return reply
    headers = [*reply.headers, (b"content-encoding", encoding.encode())]
    return Reply(reply.status, await packed(reply.body, encoding), reply.content_type, headers)
