"""How do gRPC calls become requests, and answers gRPC messages again?

One port serves TF Serving's services, the Open Inference Protocol's and TorchServe's. Methods take and give
bytes; the codecs read and write them, so no generated service class is needed. TF Serving's methods are
here, the Open Inference Protocol's in `oip_grpc`, TorchServe's in `torchserve_grpc`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TypeVar

from gateway.codecs import tfs_proto
from gateway.messages import ExampleMethod, Target
from gateway.pipeline import Pipeline
from gateway.ports import Reloadable
from gateway.servers import grpc_questions
from gateway.servers.exchange import Desk, Exchange
from gateway.servers.grpc_calls import Calls, Question, Served, Stream, Unary
from gateway.servers.grpc_direct import DirectCalls
from gateway.servers.grpc_health import HEALTH, HealthService
from gateway.servers.grpc_reflection import REFLECTION, Reflection
from gateway.servers.heavy import HeavyWork
from gateway.servers.oip_grpc import OIP, OipGrpc
from gateway.servers.oip_stream import Streams
from gateway.servers.statuses import describe_target, tfs_statuses
from gateway.servers.tfs_examples import ExampleCalls
from gateway.servers.tfs_infer import TfsPredict
from gateway.servers.torchserve_grpc import TORCHSERVE, TORCHSERVE_OIP, TorchServeGrpc
from gateway.servers.traced import traced
from gateway.servers.unrouted import UnknownMethods

__all__ = ["GrpcApi"]

PREDICTION = "tensorflow.serving.PredictionService"
MODEL = "tensorflow.serving.ModelService"


_Method = TypeVar("_Method")


class GrpcApi:
    """The methods of every service on the gRPC port."""

    def __init__(
        self, desk: Desk, heavy: HeavyWork, models: Reloadable, *, reflection: bool = False
    ) -> None:
        self._desk = desk
        self._pipeline: Pipeline = desk.pipeline
        self._deadline = desk.deadline
        self._models = models
        self._reflection = reflection
        self._count_unreadable = desk.count_unreadable
        self._examples = ExampleCalls(desk)
        self._calls = calls = Calls(desk, heavy)
        self._direct = DirectCalls(desk, calls)
        self._streams = Streams()
        self._oip = OipGrpc(desk, calls, self._streams)
        self._torchserve = TorchServeGrpc(desk, calls, heavy)

    def served(self) -> Served:
        """Every method of every service."""
        services = {
            **self._services(),
            OIP: self._oip.unary(),
            TORCHSERVE: self._torchserve.unary(),
            TORCHSERVE_OIP: self._oip.unary(),
        }
        names = frozenset({*services, HEALTH})
        health = HealthService(self._pipeline, self._streams, names)
        services[HEALTH] = {"Check": traced(self._desk, health.check)}
        streams: dict[str, Mapping[str, Stream]] = {
            **{name: {"ModelStreamInfer": self._oip.stream} for name in (OIP, TORCHSERVE_OIP)},
            HEALTH: {"Watch": health.watch},
        }
        if self._reflection:
            streams |= dict.fromkeys(REFLECTION, Reflection(self._streams).streams())
        unknown = UnknownMethods({*services, *streams}, self._count_unreadable)
        told = {path: traced(self._desk, stream) for path, stream in _by_path(streams).items()}
        return Served(_by_path(services), told, unknown)

    def end_streams(self) -> None:
        """Let every stream answer what it has taken, and end; new ones end at once."""
        self._streams.end()

    def _services(self) -> dict[str, Mapping[str, Unary]]:
        tfs = functools.partial(grpc_questions.tell, "tfs_grpc")
        serve = functools.partial(functools.partial, self._calls.serve, "tfs_grpc")
        return {
            PREDICTION: {
                "Predict": functools.partial(self._direct.serve, TfsPredict(self._calls)),
                "Classify": serve(functools.partial(self._ask, "Classify")),
                "Regress": serve(functools.partial(self._ask, "Regress")),
                "MultiInference": serve(functools.partial(self._ask, "MultiInference")),
                "GetModelMetadata": traced(self._desk, functools.partial(tfs, self._metadata)),
            },
            MODEL: {
                "GetModelStatus": traced(self._desk, functools.partial(tfs, self._status)),
                "HandleReloadConfigRequest": serve(self._reload),
            },
        }

    async def _ask(self, method: ExampleMethod, exchange: Exchange, question: Question) -> bytes:
        return await self._examples.answer_message(
            exchange, question.metadata, method, question.data, timeout_s=question.left_s
        )

    def _metadata(self, data: bytes) -> tuple[Target, Callable[[], bytes]]:
        target = tfs_proto.decode_metadata_request(data)
        return target, lambda: tfs_proto.encode_metadata(
            describe_target(self._pipeline.table, target)
        )

    def _status(self, data: bytes) -> tuple[Target, Callable[[], bytes]]:
        target = tfs_proto.decode_status_request(data)
        return target, lambda: tfs_proto.encode_status(tfs_statuses(self._pipeline.table, target))

    async def _reload(self, exchange: Exchange, question: Question) -> bytes:
        deadline = self._deadline(question.metadata, exchange, question.left_s)
        return await self._models.reload(question.data, deadline, trace=exchange.trace)


def _by_path(services: Mapping[str, Mapping[str, _Method]]) -> Mapping[str, _Method]:
    return {
        f"/{service}/{name}": method
        for service, methods in services.items()
        for name, method in methods.items()
    }
