"""How is `POST /v2/models/…/infer` of the Open Inference Protocol answered? The rest is in `oip_routes`."""

from __future__ import annotations

import re
from typing import cast
from urllib.parse import unquote

from gateway.codecs import oip_json, oip_json_numbers
from gateway.codecs.oip_raw_request import decode_raw_request
from gateway.errors import InvalidRequest, Unsupported
from gateway.messages import InferRequest, InferResponse, Target
from gateway.pipeline import Answer, Pipeline
from gateway.servers.exchange import Desk, Exchange
from gateway.servers.explain import explained, wants_explanation
from gateway.servers.heavy import HEAVY_BYTES, HeavyWork, are_heavy
from gateway.servers.http_call import Call, Question, Reply, reply_to
from gateway.servers.oip_predict import numbers_at_once
from gateway.servers.packing import PACKED_BYTES, encoding_of, packed
from gateway.servers.remembered import remembered
from gateway.servers.statuses import check_known

__all__ = ["OipRest", "is_infer", "timeout_s_of"]

_INFER = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?/infer")
_HEADER_LENGTH = "inference-header-content-length"
_ACCEPT = b"accept-encoding"
_MOST_TEXT = 8  # characters that a byte of a tensor becomes in JSON, unless it holds strings
_ALL_BINARY = oip_json.OutputForm(binary=True)


@remembered
def _match(path: str) -> Target | None:
    found = _INFER.fullmatch(path)
    if found is None:
        return None
    model, version = found.groups()
    return Target(model=unquote(model), version=None if version is None else unquote(version))


def is_infer(path: str) -> bool:
    """Whether a path is that of infer."""
    return _INFER.fullmatch(path) is not None


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
        question = self.begin(exchange, call) or await self._begin_large(exchange, call)
        return await reply_to(self, self._pipeline, exchange, question)

    def is_predict(self, path: str) -> bool:
        """Whether a POST to this path is a predict request."""
        return _match(path) is not None

    def begin(self, exchange: Exchange, call: Call) -> Question | None:
        """Read a predict request; None if it is to be read elsewhere."""
        # Set before anything can fail, so that the books name the model of a request that cannot be read.
        exchange.target = asked = self._asked(call)
        try:
            length, size = _header_length(call), len(call.body)
            if (size if length is None else min(length, size)) > HEAVY_BYTES:
                read = numbers_at_once(call.body, length, model=asked.model, version=asked.version)
                return None if read is None else self._question(exchange, call, asked, read)
            if length == 0:
                route, deadline = self._desk.route(call.headers, exchange, asked, call.known)
                request = decode_raw_request(
                    call.body, route.signature, model=asked.model, version=asked.version
                )
                return Question(call, route, request, deadline, form=_ALL_BINARY)
            read = oip_json_numbers.decode_request(
                call.body, length, model=asked.model, version=asked.version
            )
            return self._question(exchange, call, asked, read)
        except (InvalidRequest, Unsupported):
            check_known(self._pipeline.table, asked)
            raise

    async def _begin_large(self, exchange: Exchange, call: Call) -> Question:
        exchange.target = asked = self._asked(call)
        try:
            read = await self._heavy.run(
                self._desk.reading_deadline(call.headers, exchange),
                oip_json_numbers.decode_request,
                call.body,
                _header_length(call),
                model=asked.model,
                version=asked.version,
            )
            return self._question(exchange, call, asked, read)
        except (InvalidRequest, Unsupported):
            check_known(self._pipeline.table, asked)
            raise

    def _asked(self, call: Call) -> Target:
        asked = _match(call.path)
        if asked is None:
            raise InvalidRequest(f"Malformed request: {call.method} {call.path}")
        return asked

    def _question(
        self,
        exchange: Exchange,
        call: Call,
        asked: Target,
        read: tuple[InferRequest, oip_json.OutputForm],
    ) -> Question:
        request, form = read
        if not request.parameters:
            route, deadline = self._desk.route(call.headers, exchange, asked, call.known)
            return Question(call, route, request, deadline, form=form)
        deadline = self._desk.deadline(call.headers, exchange, timeout_s_of(request))
        wants_explanation(request)  # or is refused for what it says of that
        exchange.target = target = self._desk.target(call.headers, exchange, asked, "")
        exchange.route = route = self._pipeline.route(target)
        return Question(call, route, request, deadline, form=form)

    def reply(self, exchange: Exchange, question: Question, answer: Answer) -> Reply | None:
        """Write the answer; None if that is to be done elsewhere."""
        form = cast("oip_json.OutputForm", question.form)
        response = answer.response
        if _are_heavy(response, form) or (
            _ACCEPT in question.call.headers.raw and _may_be_packed(response)
        ):
            return None
        response = self._explained(exchange, question, answer)
        return _reply(*oip_json.encode_response(response, form))

    async def reply_apart(self, exchange: Exchange, question: Question, answer: Answer) -> Reply:
        """Write a large answer, in the worker process where it has many numbers; compress it if asked."""
        form = cast("oip_json.OutputForm", question.form)
        response, encode = self._explained(exchange, question, answer), oip_json.encode_response
        if _are_heavy(response, form):
            reply = _reply(*await self._heavy.run(question.deadline, encode, response, form))
        else:
            reply = _reply(*encode(response, form))
        headers = question.call.headers.raw
        if len(reply.body) < PACKED_BYTES or _ACCEPT not in headers:
            return reply
        return await _packed(reply, headers[_ACCEPT].decode("latin-1"))

    def _explained(self, exchange: Exchange, question: Question, answer: Answer) -> InferResponse:
        if not (question.request.parameters and wants_explanation(question.request)):
            return answer.response
        return explained(answer, question.route, self._desk.clock() - exchange.started)


def _are_heavy(response: InferResponse, form: oip_json.OutputForm) -> bool:
    return are_heavy(tensor for tensor in response.outputs if not form.is_binary(tensor.name))


def _may_be_packed(response: InferResponse) -> bool:
    outputs = response.outputs
    size = sum([tensor.array.nbytes for tensor in outputs])
    return size * _MOST_TEXT >= PACKED_BYTES or any(t.datatype == "BYTES" for t in outputs)


def _reply(body: bytes, header_length: int | None) -> Reply:
    if header_length is None:
        return Reply(200, body)
    headers = [(_HEADER_LENGTH.encode(), b"%d" % header_length)]
    return Reply(200, body, b"application/octet-stream", headers)


async def _packed(reply: Reply, accepted: str) -> Reply:
    """The reply, compressed if the caller wants that; its header length stays that of the plain body."""
    encoding = encoding_of(accepted)
    if encoding is None:
        return reply
    headers = [*reply.headers, (b"content-encoding", encoding.encode())]
    return Reply(reply.status, await packed(reply.body, encoding), reply.content_type, headers)
