"""Is the gateway serving, as gRPC's own health service (`grpc.health.v1`) asks it?

Load balancers and Kubernetes' gRPC probes ask this. Every service on the port has the state of the whole
server, because one broken model must not take the others away; `ModelReady` tells of a model.
"""

from __future__ import annotations

import asyncio

from gateway.codecs.health import decode_health_request, encode_health
from gateway.errors import GatewayError, UnknownModel
from gateway.pipeline import Pipeline
from gateway.servers.grpc_calls import Call, Messages, refusal_of
from gateway.servers.oip_stream import Streams

__all__ = ["HEALTH", "HealthService"]

HEALTH = "grpc.health.v1.Health"


class HealthService:
    """Check and Watch."""

    def __init__(self, pipeline: Pipeline, streams: Streams, services: frozenset[str]) -> None:
        self._pipeline = pipeline
        self._streams = streams
        self._services = services

    async def check(self, data: bytes, _: Call) -> bytes:
        """Whether the service is served now; NOT_FOUND for one that is not here."""
        try:
            service = decode_health_request(data)
            if service and service not in self._services:
                raise UnknownModel(f"got service {service!r}, services: {sorted(self._services)}")
        except GatewayError as error:
            raise refusal_of(error, "oip_grpc", None) from error
        return encode_health(serving=self._pipeline.is_ready)

    async def watch(self, requests: Messages, call: Call) -> None:
        """The state now, and each time that it changes, until the client leaves or the gateway drains."""
        try:
            service = decode_health_request(await anext(requests, b""))
        except GatewayError as error:
            raise refusal_of(error, "oip_grpc", None) from error
        known = not service or service in self._services
        with self._pipeline.watched() as moved:
            async with asyncio.TaskGroup() as group:
                alarm = group.create_task(self._wake_at_the_end(moved))
                await self._tell_changes(call, moved, known=known)
                alarm.cancel()

    async def _wake_at_the_end(self, moved: asyncio.Event) -> None:
        await self._streams.ended()
        moved.set()

    async def _tell_changes(self, call: Call, moved: asyncio.Event, *, known: bool) -> None:
        told, is_last = b"nothing", False
        while not is_last:
            moved.clear()
            is_last = (
                self._streams.are_ending
            )  # read before the state, so that the last one is told
            state = encode_health(serving=self._pipeline.is_ready if known else None)
            if state != told:
                await call.write(state)
                told = state
            if not is_last:
                await moved.wait()
