"""Is the gateway serving, as gRPC's own health service (`grpc.health.v1`) asks it?

Load balancers and Kubernetes' gRPC probes ask this. Every service on the port has the state of the whole
server, because one broken model must not take the others away; `ModelReady` tells of a model.
"""

from __future__ import annotations

import asyncio

import grpc

from gateway.codecs.health import decode_health_request, encode_health
from gateway.errors import GatewayError, UnknownModel
from gateway.pipeline import Pipeline
from gateway.servers.grpc_calls import Context, abort
from gateway.servers.oip_stream import Streams

__all__ = ["HEALTH", "HealthService"]

HEALTH = "grpc.health.v1.Health"


class HealthService:
    """Check and Watch."""

    def __init__(self, pipeline: Pipeline, streams: Streams, services: frozenset[str]) -> None:
        self._pipeline = pipeline
        self._streams = streams
        self._services = services

    def methods(self) -> dict[str, grpc.RpcMethodHandler[bytes, bytes]]:
        """The methods, ready to be registered."""
        return {
            "Check": grpc.unary_unary_rpc_method_handler(self.check),
            "Watch": grpc.unary_stream_rpc_method_handler(self.watch),
        }

    async def check(self, data: bytes, context: Context) -> bytes:
        """Whether the service is served now; NOT_FOUND for one that is not here."""
        try:
            service = decode_health_request(data)
            if service and service not in self._services:
                raise UnknownModel(f"got service {service!r}, services: {sorted(self._services)}")
        except GatewayError as error:
            await abort(context, error, "oip_grpc", None)
        return encode_health(serving=self._pipeline.is_ready)

    async def watch(self, data: bytes, context: Context) -> None:
        """The state now, and each time that it changes, until the client leaves or the gateway drains."""
        try:
            service = decode_health_request(data)
        except GatewayError as error:
            await abort(context, error, "oip_grpc", None)
            return
        known = not service or service in self._services
        with self._pipeline.watched() as moved:
            async with asyncio.TaskGroup() as group:
                alarm = group.create_task(self._wake_at_the_end(moved))
                await self._tell_changes(context, moved, known=known)
                alarm.cancel()

    async def _wake_at_the_end(self, moved: asyncio.Event) -> None:
        await self._streams.ended()
        moved.set()

    async def _tell_changes(self, context: Context, moved: asyncio.Event, *, known: bool) -> None:
        told, is_last = b"nothing", False
        while not is_last:
            moved.clear()
            is_last = (
                self._streams.are_ending
            )  # read before the state, so that the last one is told
            state = encode_health(serving=self._pipeline.is_ready if known else None)
            if state != told:
                await context.write(state)
                told = state
            if not is_last:
                await moved.wait()
