"""What does a ModelInfer message say, and how is it answered? The Open Inference Protocol's predict method."""

from __future__ import annotations

from typing import Final

from gateway.codecs import oip_proto
from gateway.codecs.named_model import model_asked
from gateway.codecs.oip_proto_heads import Heads
from gateway.codecs.protobuf import NotAMessage
from gateway.codecs.slow_messages import SLOW_BYTES, are_slow, slow_infer_bytes
from gateway.errors import InvalidRequest, Unsupported
from gateway.messages import Dialect, InferRequest, InferResponse, Target
from gateway.pipeline import Answer
from gateway.prepare import Kind
from gateway.servers.exchange import Desk, Exchange
from gateway.servers.explain import explained, wants_explanation
from gateway.servers.grpc_calls import Calls, Question, Reading
from gateway.servers.oip_rest import timeout_s_of
from gateway.servers.statuses import check_known
from gateway.tensors import DTYPES, Datatype

__all__ = ["OipPredict"]

_IN_RUNS: Final = frozenset[Datatype](DTYPES.keys() - {"BYTES"})  # written at one go


class OipPredict:
    """The method; see `grpc_direct.PredictMethod`."""

    dialect: Dialect = "oip_grpc"
    as_is = False

    def __init__(self, desk: Desk, calls: Calls) -> None:
        self._desk = desk
        self._calls = calls
        self._scene = desk.pipeline.scene
        self._heads: Heads[Kind] = Heads()

    def read(self, exchange: Exchange, question: Question) -> Reading:
        """See `PredictMethod`."""
        if self._scene is not self._desk.pipeline.scene:  # of the old one nothing is to be kept
            self._scene, self._heads = self._desk.pipeline.scene, Heads()
        try:
            request, head = self._heads.read(question.data)
            if request.parameters:
                return Reading(request, _patience_s(question, request))
        except (InvalidRequest, Unsupported) as error:
            self._check_known(exchange, question.data, error)
            raise
        if head is None:
            return Reading(request, question.left_s)
        if head.known is None:
            head.known = Kind()
        return Reading(request, question.left_s, head.known)

    def write(self, exchange: Exchange, request: InferRequest, answer: Answer) -> bytes | None:
        """See `PredictMethod`."""
        response = self._response(exchange, request, answer)
        if are_slow(response.outputs, _IN_RUNS):
            return None
        return oip_proto.encode_response(response)

    async def write_apart(
        self, exchange: Exchange, question: Question, request: InferRequest, answer: Answer
    ) -> bytes:
        """See `PredictMethod`."""
        response = self._response(exchange, request, answer)
        return await self._calls.elsewhere(exchange, question, oip_proto.encode_response, response)

    async def answer(self, exchange: Exchange, question: Question) -> bytes:
        """See `PredictMethod`."""
        return await self.answer_to(exchange, question, await self.read_any(exchange, question))

    async def read_any(self, exchange: Exchange, question: Question) -> InferRequest:
        """As `read`, a message of any size.

        Raises:
            GatewayError: it is refused.
        """
        data, decode = question.data, oip_proto.decode_request
        try:
            if len(data) > SLOW_BYTES and slow_infer_bytes(data) > SLOW_BYTES:
                return await self._calls.elsewhere(exchange, question, decode, data)
            return decode(data)
        except (InvalidRequest, Unsupported) as error:
            self._check_known(exchange, data, error)
            raise

    async def answer_to(
        self, exchange: Exchange, question: Question, request: InferRequest
    ) -> bytes:
        """The answer to a request that has been read.

        Raises:
            GatewayError: there is none.
        """
        if request.parameters:
            left_s = _patience_s(question, request)
            question = Question(question.data, question.metadata, left_s)
        answer = await self._calls.infer(exchange, question, request)
        encoded = self.write(exchange, request, answer)
        if encoded is None:
            return await self.write_apart(exchange, question, request, answer)
        return encoded

    def _check_known(
        self, exchange: Exchange, data: bytes, error: InvalidRequest | Unsupported
    ) -> None:
        """See `check_known`; what is no message at all asks for no model."""
        if isinstance(error, NotAMessage):
            return
        model, version = model_asked(data)
        exchange.target = target = Target(model=model, version=version)
        check_known(self._desk.pipeline.table, target)

    def _response(self, exchange: Exchange, request: InferRequest, answer: Answer) -> InferResponse:
        if request.parameters and wants_explanation(request) and exchange.route is not None:
            total_s = self._desk.clock() - exchange.started
            return explained(answer, exchange.route, total_s)
        return answer.response


def _patience_s(question: Question, request: InferRequest) -> float | None:
    """How long its caller waits: what the request asks for, if that is less than its call's.

    Raises:
        InvalidRequest: one of the parameters that are ours is none.
    """
    wants_explanation(request)
    asked_s, left_s = timeout_s_of(request), question.left_s
    if asked_s is None or (left_s is not None and left_s <= asked_s):
        return left_s
    return asked_s
