"""Which adapter does a configured backend get?"""

from __future__ import annotations

import random
from typing import TypeVar

from prometheus_client import CollectorRegistry

from gateway.backend_config import BackendConfig, DeclaredModelConfig, DeclaredTensorConfig
from gateway.backends.example_replicas import ExampleReplicas
from gateway.backends.grpc_link import GrpcLink
from gateway.backends.hedging import Hedging
from gateway.backends.http_link import HttpLink
from gateway.backends.oip import OipBackend
from gateway.backends.oip_rest import OipRestBackend
from gateway.backends.replicas import Replicas
from gateway.backends.tfserving import TfServingBackend
from gateway.backends.torchserve import TorchServeBackend
from gateway.messages import DEFAULT_SIGNATURE
from gateway.ports import Backend
from gateway.telemetry.replicas import ReplicaMetrics
from gateway.tensors import Signature, TensorSpec

__all__ = ["make_backend"]

_Link = TypeVar("_Link", GrpcLink, HttpLink)


def make_backend(
    name: str, config: BackendConfig, metrics: ReplicaMetrics | None = None
) -> Backend:
    """The adapter for a configured backend; inside a running event loop.

    Args:
        name: Its name in the configuration.
        config: Its settings.
        metrics: Where several replicas are counted; None for nowhere, as a command line wants it.

    Raises:
        BackendUnavailable: a TLS file cannot be read; it may be there the next time.
    """
    if len(config.addresses) == 1:
        return _at(name, config, config.address)
    replicas = {address: _at(name, config, address) for address in config.addresses}
    draw = random.Random().random  # noqa: S311 - which of two replicas is no secret
    kind = ExampleReplicas if config.kind == "tfserving" else Replicas
    counted = metrics or ReplicaMetrics(CollectorRegistry())
    hedging = Hedging(config.max_hedge_ratio) if config.max_hedge_ratio else None
    return kind(name, replicas, counted, draw=draw, hedging=hedging)


def _at(name: str, config: BackendConfig, address: str) -> Backend:
    if config.kind == "tfserving":
        return TfServingBackend(_linked(GrpcLink, name, config, address))
    if config.kind == "oip" and not config.is_rest:
        return OipBackend(_linked(GrpcLink, name, config, address))
    link = _linked(HttpLink, name, config, address)
    if config.kind == "oip":
        return OipRestBackend(link)
    return TorchServeBackend(
        link,
        management=_linked(HttpLink, name, config, config.management)
        if config.management
        else None,
        declared={model.model: _signature(model) for model in config.declared},
        body=config.body,
    )


def _linked(kind: type[_Link], name: str, config: BackendConfig, address: str) -> _Link:
    return kind(name, address, max_message_bytes=config.max_message_bytes, tls=config.tls)


def _signature(declared: DeclaredModelConfig) -> Signature:
    return Signature(
        name=DEFAULT_SIGNATURE,
        inputs={spec.name: spec for spec in map(_spec, declared.inputs)},
        outputs={spec.name: spec for spec in map(_spec, declared.outputs)},
    )


def _spec(declared: DeclaredTensorConfig) -> TensorSpec:
    return TensorSpec(declared.name, declared.datatype, declared.shape)
