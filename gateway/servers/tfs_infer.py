"""What does a PredictRequest say, and how is it answered? TF Serving's predict method over gRPC."""

from __future__ import annotations

from gateway.codecs import tfs_proto
from gateway.codecs.slow_messages import SLOW_BYTES, are_slow, slow_predict_bytes
from gateway.messages import Dialect, InferRequest
from gateway.pipeline import Answer
from gateway.servers.exchange import Exchange
from gateway.servers.grpc_calls import Calls, Question, Reading

__all__ = ["TfsPredict"]


class TfsPredict:
    """The method; see `grpc_direct.PredictMethod`."""

    dialect: Dialect = "tfs_grpc"
    as_is = True

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def read(self, exchange: Exchange, question: Question) -> Reading:
        """See `PredictMethod`."""
        request = tfs_proto.decode_request(question.data)
        _hold_repeated(exchange, question, request)
        return Reading(request, question.left_s)

    def write(self, _: Exchange, __: InferRequest, answer: Answer) -> bytes | None:
        """See `PredictMethod`."""
        response = answer.response
        if are_slow(response.outputs, tfs_proto.IN_RUNS):
            return None
        return tfs_proto.encode_response(response)

    async def write_apart(
        self, exchange: Exchange, question: Question, _: InferRequest, answer: Answer
    ) -> bytes:
        """See `PredictMethod`."""
        return await self._calls.elsewhere(
            exchange, question, tfs_proto.encode_response, answer.response
        )

    async def answer(self, exchange: Exchange, question: Question) -> bytes:
        """See `PredictMethod`."""
        data, decode = question.data, tfs_proto.decode_request
        if len(data) > SLOW_BYTES and slow_predict_bytes(data) > SLOW_BYTES:
            request = await self._calls.elsewhere(exchange, question, decode, data)
        else:
            request = decode(data)
        _hold_repeated(exchange, question, request)
        answer = await self._calls.infer(exchange, question, request)
        encoded = self.write(exchange, request, answer)
        if encoded is None:
            return await self.write_apart(exchange, question, request, answer)
        return encoded


def _hold_repeated(exchange: Exchange, question: Question, request: InferRequest) -> None:
    """Account for tensors that are larger than their message: of few values, repeated."""
    size = len(question.data)
    for tensor in request.inputs:
        if tensor.array.nbytes > size:
            exchange.hold(tensor.array.nbytes)
