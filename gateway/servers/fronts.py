"""What takes requests from outside and brings them to the REST application and the gRPC methods?

By default servers of our own, uvicorn and `grpc.aio`, on two ports. `gateway.front` has another one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import grpc

from gateway.config import LimitsConfig, ListenConfig
from gateway.http1.listen import HttpServer, listen_http
from gateway.http1.protocol import Manners
from gateway.servers.direct import DirectRoutes
from gateway.servers.grpc import GrpcApi
from gateway.servers.listen import start_grpc
from gateway.servers.rest import RestApi

__all__ = ["Doors", "Front", "OwnFront"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """What is to be served, and how.

    Attributes:
        shortcut: Takes predict requests of `rest` that need no task of their own.
        spawn: Runs a server in the background, until the gateway ends.
    """

    rest: RestApi
    shortcut: DirectRoutes
    grpc: GrpcApi
    manners: Manners
    listen: ListenConfig
    limits: LimitsConfig
    spawn: Callable[[Coroutine[Any, Any, None]], object]


class Front(Protocol):
    """What stands between the outside and the gateway."""

    async def open(self, doors: Doors, /) -> Mapping[str, str]:
        """Begin to serve; the addresses really taken, `rest` and `grpc`.

        Raises:
            ListenError: an address is taken, or is none of this machine's.
        """
        ...

    async def close(self) -> None:
        """Take no new requests, and answer those that have begun. The caller bounds the wait."""
        ...


class OwnFront:
    """One server for REST, one for gRPC."""

    _rest: HttpServer
    _grpc: grpc.aio.Server

    async def open(self, doors: Doors, /) -> Mapping[str, str]:
        """See `Front.open`."""
        listen, limits = doors.listen, doors.limits
        self._grace_s = limits.drain_timeout_s
        self._rest, rest = listen_http(
            doors.rest,
            listen.rest,
            doors.manners,
            setting="listen.rest",
            grace_s=self._grace_s,
            shortcut=doors.shortcut,
        )
        doors.spawn(self._rest.serve_until_stopped())
        self._grpc, address = await start_grpc(
            doors.grpc, listen.grpc, max_message_bytes=limits.max_body_bytes
        )
        return {"rest": rest, "grpc": address}

    async def close(self) -> None:
        """See `Front.close`."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._rest.stop())
            group.create_task(self._grpc.stop(self._grace_s))
