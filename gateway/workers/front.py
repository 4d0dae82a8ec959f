"""Where do a worker's requests come from? REST from the supervisor's hand, gRPC from a port that all share."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping

import grpc

from gateway.http1.listen import HttpServer
from gateway.servers.fronts import Doors
from gateway.servers.listen import start_grpc
from gateway.workers.handing import Handed

__all__ = ["WorkerFront"]

_LAST_HANDED_S = 5.0


class WorkerFront:
    """A `Front` for one of several workers. `line` is its end of a `Line`.

    gRPC listens by itself, because its library takes no connections from others: the kernel spreads them over
    the workers. What waits at the socket of one that ends is reset; gRPC's clients connect again.
    """

    _rest: HttpServer
    _grpc: grpc.aio.Server
    _handed: Handed

    def __init__(self, line: socket.socket) -> None:
        self._line = line

    async def open(self, doors: Doors, /) -> Mapping[str, str]:
        """See `Front.open`."""
        listen, limits = doors.listen, doors.limits
        self._grace_s = limits.drain_timeout_s
        self._rest = rest = HttpServer(
            doors.rest, None, doors.manners, grace_s=self._grace_s, shortcut=doors.shortcut
        )
        doors.spawn(rest.serve_until_stopped())
        self._grpc, address = await start_grpc(
            doors.grpc, listen.grpc, max_message_bytes=limits.max_body_bytes, shares_port=True
        )
        self._handed = Handed(self._line, lambda connection: doors.spawn(rest.take(connection)))
        self._handed.begin()
        return {"rest": listen.rest, "grpc": address}

    async def close(self) -> None:
        """See `Front.close`. Whatever was handed to us before the supervisor stopped is served."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._stop_rest())
            group.create_task(self._grpc.stop(self._grace_s))

    async def _stop_rest(self) -> None:
        try:
            async with asyncio.timeout(_LAST_HANDED_S):
                await self._handed.ended.wait()
        except TimeoutError:
            self._handed.close()
        await self._rest.stop()
