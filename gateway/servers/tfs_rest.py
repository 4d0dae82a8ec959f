"""TF Serving's REST API: `/v1/models/…`.

The order of the checks is TF Serving's: the JSON, the type of `signature_name`, the model, the signature,
and only then the inputs; so bad JSON to an unknown model is 400, not 404. A path under /v1/ that matches
nothing is 400 "Malformed request", never 404 or 405.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import cast
from urllib.parse import unquote

import orjson

from gateway.codecs import tfs_json
from gateway.codecs.tfs_json import PredictBody
from gateway.codecs.tfs_json_examples import decode_examples
from gateway.codecs.tfs_json_write import Form
from gateway.codecs.tfs_signature import uncarried_signature
from gateway.errors import GatewayError, InvalidRequest, UnknownSignature
from gateway.messages import DEFAULT_SIGNATURE, Deadline, InferRequest, Target
from gateway.pipeline import Answer, Pipeline, Route
from gateway.servers.cors import preflight_status
from gateway.servers.exchange import Desk, Exchange
from gateway.servers.heavy import HEAVY_BYTES, HeavyWork, are_heavy
from gateway.servers.http_call import Call, Question, Reply, reply_to
from gateway.servers.remembered import remembered
from gateway.servers.statuses import describe_target, is_ready, tfs_statuses
from gateway.servers.tfs_examples import ExampleCalls, parsed, read_examples
from gateway.servers.tfs_predict import numbers_at_once, read_large, signatures_of
from gateway.tensors import Signature

__all__ = ["TfsRest"]

_POST = re.compile(
    r"/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?:(classify|regress|predict)",
    re.IGNORECASE,
)
_GET = re.compile(
    r"/v1/models(?:/([^/:]+))?(?:/versions/(\d+)|/labels/([^/:]+))?(?:/(metadata))?",
    re.IGNORECASE,
)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_INT64_MAX = 2**63 - 1
_MAX_DIGITS = 32  # int() of a longer text would cost the caller nothing and us much


@dataclass(frozen=True, slots=True)
class _Path:
    target: Target
    verb: str


@remembered
def _match(method: str, path: str) -> _Path | None:
    if _BAD_ESCAPE.search(path):
        return None
    pattern = {"POST": _POST, "GET": _GET}.get(method)
    found = pattern.fullmatch(path) if pattern is not None else None
    if found is None:
        return None
    model, version, label, verb = found.groups()
    target = Target(
        model=unquote(model or ""),
        version=None if version is None else _version(version),
        label=None if label is None else unquote(label),
    )
    return _Path(target, verb or "")


def _version(digits: str) -> str:
    if len(digits) > _MAX_DIGITS or int(digits) > _INT64_MAX:
        raise InvalidRequest(f"Failed to convert version: {digits[:64]} to numeric.")
    return str(int(digits))


class TfsRest:
    """The endpoint of every path under /v1/."""

    def __init__(self, desk: Desk, heavy: HeavyWork) -> None:
        self._desk = desk
        self._heavy = heavy
        self._pipeline: Pipeline = desk.pipeline
        self._examples = ExampleCalls(desk)

    def target_of(self, method: str, path: str) -> Target | None:
        """The model that a path names, None if it names none."""
        try:
            found = _match(method, path)
        except InvalidRequest:  # a version that is no number
            return None
        return None if found is None else found.target

    async def __call__(self, exchange: Exchange, call: Call) -> Reply:
        """Answer one call."""
        if call.method == "OPTIONS":
            return Reply(preflight_status(call.headers.get("origin")), b"")
        path = _match(call.method, call.path)
        if path is not None and path.verb in ("classify", "regress"):
            return Reply(200, await self._answer_examples(exchange, call, path))
        if path is None or path.verb != "predict":
            return self._answer_at_once(exchange, call, path)
        question = self.begin(exchange, call) or await self._begin_large(
            exchange, call, path.target
        )
        return await reply_to(self, self._pipeline, exchange, question)

    def is_predict(self, path: str) -> bool:
        """Whether a POST to this path is a predict request."""
        try:
            found = _match("POST", path)
        except InvalidRequest:
            return False
        return found is not None and found.verb == "predict"

    def begin(self, exchange: Exchange, call: Call) -> Question | None:
        """Read a predict request; None if it is to be read elsewhere."""
        path = _match(call.method, call.path)
        assert path is not None, "it is a predict request"
        if len(call.body) > HEAVY_BYTES:
            return self._begin_plain(exchange, call, path.target)
        # Set before anything can fail, so that the books name the model of a request that cannot be read.
        exchange.target = path.target
        body = tfs_json.parse_predict(call.body)
        try:
            route, deadline = self._route(exchange, call, path.target, body.signature_name)
        except UnknownSignature:
            self._refuse_uncarried(exchange.target, body)
            raise
        inputs = tfs_json.decode_inputs(body, route.signature)
        request = InferRequest(model=path.target.model, inputs=inputs, id=exchange.request_id)
        return Question(call, route, request, deadline, form=body.form, as_is=True)

    def _begin_plain(self, exchange: Exchange, call: Call, asked: Target) -> Question | None:
        """Read a large body of numbers that fit; None for any other, as saying why can take long."""
        numbers = numbers_at_once(call.body)
        if numbers is None:
            return None
        signature = self._likely_signatures(exchange, call, asked).get(numbers.signature_name)
        inputs = None if signature is None else numbers.inputs(signature)
        if inputs is None:
            return None
        exchange.target = asked
        route, deadline = self._route(exchange, call, asked, numbers.signature_name)
        request = InferRequest(model=asked.model, inputs=inputs, id=exchange.request_id)
        return Question(call, route, request, deadline, form=numbers.form, as_is=True)

    def reply(self, exchange: Exchange, question: Question, answer: Answer) -> Reply | None:
        """Write the answer; None if that is to be done elsewhere."""
        del exchange
        if are_heavy(answer.response.outputs):
            return None
        return Reply(200, tfs_json.encode_response(answer.response, cast("Form", question.form)))

    async def reply_apart(self, exchange: Exchange, question: Question, answer: Answer) -> Reply:
        """Write a large answer, in the worker process."""
        del exchange
        encode, form = tfs_json.encode_response, cast("Form", question.form)
        return Reply(200, await self._heavy.run(question.deadline, encode, answer.response, form))

    async def _answer_examples(self, exchange: Exchange, call: Call, path: _Path) -> bytes:
        exchange.target = path.target
        if len(call.body) > HEAVY_BYTES:
            patience = self._desk.reading_deadline(call.headers, exchange)
            body = parsed(*await self._heavy.run(patience, read_examples, call.body))
        else:
            body = decode_examples(call.body)
        return await self._examples.answer_json(
            exchange, call.headers, path.target, verb=path.verb, body=body
        )

    def _answer_at_once(self, exchange: Exchange, call: Call, path: _Path | None) -> Reply:
        """Whatever asks no backend."""
        if path is not None and call.method == "GET":
            return self._get(exchange, path)
        raise InvalidRequest(f"Malformed request: {call.method} {call.path}")

    def _route(
        self, exchange: Exchange, call: Call, asked: Target, signature_name: str
    ) -> tuple[Route, Deadline]:
        if not signature_name:
            return self._desk.route(call.headers, exchange, asked, call.known)
        exchange.target = target = self._desk.target(call.headers, exchange, asked, signature_name)
        deadline = self._desk.deadline(call.headers, exchange, None)
        exchange.route = route = self._pipeline.route(target)
        return route, deadline

    def _refuse_uncarried(self, target: Target, body: PredictBody) -> None:
        """Say what is wrong with inputs for a signature that is there, but that Tandem cannot call."""
        description = self._pipeline.table.resolve(target).arm.description
        if description is None or not description.told:
            return
        name = target.signature or DEFAULT_SIGNATURE
        signature = uncarried_signature(description.told, name)
        if signature is not None:
            tfs_json.decode_inputs(body, signature)

    async def _begin_large(self, exchange: Exchange, call: Call, asked: Target) -> Question:
        """As `begin` reads a small body, with the same errors in the same order."""
        exchange.target = asked
        patience = self._desk.reading_deadline(call.headers, exchange)
        signatures = self._likely_signatures(exchange, call, asked)
        read = await self._heavy.run(patience, read_large, call.body, signatures)
        route, deadline = self._route(exchange, call, asked, read.signature_name)
        if signatures.get(read.signature_name) != route.signature:
            # The table was replaced in the meantime.
            signatures = {read.signature_name: route.signature}
            read = await self._heavy.run(patience, read_large, call.body, signatures)
        if isinstance(read.inputs, GatewayError):
            raise read.inputs
        assert read.inputs is not None, "its signature was given"
        request = InferRequest(model=asked.model, inputs=read.inputs, id=exchange.request_id)
        return Question(call, route, request, deadline, form=read.form, as_is=True)

    def _likely_signatures(
        self, exchange: Exchange, call: Call, asked: Target
    ) -> dict[str, Signature]:
        """The signatures of the arm that will answer; none if, as things are, none will."""
        target = self._desk.target(call.headers, exchange, asked, "")
        try:
            return signatures_of(self._pipeline.table.resolve(target).arm)
        except GatewayError:
            return {}  # raised again in its turn, after what is wrong with the body

    def _get(self, exchange: Exchange, path: _Path) -> Reply:
        table = self._pipeline.table
        exchange.target = target = path.target
        if not target.model:
            if target.version or target.label or path.verb:
                raise InvalidRequest("Missing model name in request.")
            return Reply(200, orjson.dumps({"models": sorted(table.models)}))
        if path.verb == "metadata":
            return Reply(200, tfs_json.encode_metadata(describe_target(table, target)))
        statuses = tfs_statuses(table, target)
        ready = is_ready(table.model(target.model), target.version)
        return Reply(200, tfs_json.encode_status(statuses, kserve=(target.model, ready)))
