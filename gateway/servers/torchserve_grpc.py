"""TorchServe's inference API over gRPC, `InferenceAPIsService`: `Ping` and `Predictions`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

from gateway.codecs import torchserve_proto
from gateway.codecs.slow_messages import SLOW_BYTES, slow_map_bytes
from gateway.servers import grpc_questions
from gateway.servers.exchange import Desk, Exchange
from gateway.servers.grpc_calls import Calls, Question, Unary
from gateway.servers.heavy import HeavyWork
from gateway.servers.torchserve_calls import TorchServeCalls
from gateway.servers.torchserve_problems import NoModelName
from gateway.servers.traced import traced

__all__ = ["TORCHSERVE", "TORCHSERVE_OIP", "TorchServeGrpc"]

TORCHSERVE = "org.pytorch.serve.grpc.inference.InferenceAPIsService"
TORCHSERVE_OIP = "org.pytorch.serve.grpc.openinference.GRPCInferenceService"
"""The Open Inference Protocol, under the name of TorchServe's package; the messages are the same."""


class TorchServeGrpc:
    """The methods of the service."""

    def __init__(self, desk: Desk, calls: Calls, heavy: HeavyWork) -> None:
        self._desk = desk
        self._pipeline = desk.pipeline
        self._calls = calls
        self._predictions = TorchServeCalls(desk, heavy)

    def unary(self) -> Mapping[str, Unary]:
        """Its methods of one message each way, by name."""
        ping = functools.partial(grpc_questions.tell, "torchserve_grpc", self._ping)
        return {
            "Ping": traced(self._desk, ping),
            "Predictions": functools.partial(self._calls.serve, "torchserve_grpc", self._predict),
        }

    def _ping(self, _: bytes) -> tuple[None, Callable[[], bytes]]:
        return None, lambda: torchserve_proto.encode_health(healthy=self._pipeline.is_ready)

    async def _predict(self, exchange: Exchange, question: Question) -> bytes:
        data, decode = question.data, torchserve_proto.decode_request
        if len(data) > SLOW_BYTES and slow_map_bytes(data) > SLOW_BYTES:
            target, fields = await self._calls.elsewhere(exchange, question, decode, data)
        else:
            target, fields = decode(data)
        exchange.target = target
        if not target.model:
            raise NoModelName("Parameter model_name is required.")
        prediction = await self._predictions.answer_fields(
            exchange,
            question.metadata,
            target,
            fields=fields,
            timeout_s=question.left_s,
        )
        return torchserve_proto.encode_answer(prediction)
