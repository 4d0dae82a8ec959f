"""What stands between the outside and a gateway that runs inside Envoy?"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from typing import Final

import aiohttp

from gateway.front.terms import CALL_KEY, Terms
from gateway.servers.asgi_front import AsgiFront
from gateway.servers.fronts import Doors
from gateway.servers.grpc_asgi import GrpcApp

__all__ = ["EnvoyFront"]

_ORDER_S: Final = 5.0
_LOOK_EVERY_S: Final = 0.02
_UNWRITTEN: Final = (
    r"stats?filter=^http\.ingress_http\.downstream_(rq_active|cx_tx_bytes_buffered)$"
)
_PIPE_BYTES: Final = 64 * 1024


class EnvoyFront:
    """The front, once Envoy has loaded it.

    Attributes:
        app: What serves Envoy's requests, when the gateway is there.
    """

    app: AsgiFront

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._cut = b""  # of a line in the pipe of departures that has not come whole

    async def open(self, doors: Doors, /) -> Mapping[str, str]:
        """See `Front.open`: Envoy listens, as soon as the gateway is ready."""
        loop = asyncio.get_running_loop()
        most = doors.limits.max_body_bytes
        grpc = GrpcApp(doors.grpc.served(), max_message_bytes=most, clock=loop.time)
        self.app = AsgiFront(doors.rest, grpc, doors.manners, key=CALL_KEY.encode())
        # For writing too: the pipe has no end while Envoy opens it again.
        self._pipe = os.open(self._terms.departures, os.O_RDWR | os.O_NONBLOCK)
        loop.add_reader(self._pipe, self._hear)
        return {"rest": self._terms.rest, "grpc": self._terms.grpc}

    async def close(self) -> None:
        """See `Front.close`."""
        try:
            await self._order("healthcheck/fail")  # from now on every answer ends its connection
            await self._order("drain_listeners")
            await self._answered()
        finally:
            asyncio.get_running_loop().remove_reader(self._pipe)
            os.close(self._pipe)

    async def quit(self) -> None:
        """Have Envoy end, and this process with it."""
        await self._order("quitquitquit")

    async def _answered(self) -> None:
        """Wait until no request is open, here or in Envoy, which holds what a client has not read yet."""
        while True:
            await self.app.idle()
            told = await self._ask("GET", _UNWRITTEN)
            if not any(int(line.rpartition(":")[2]) for line in told.splitlines()):
                return
            await asyncio.sleep(_LOOK_EVERY_S)  # Envoy tells nobody

    def _hear(self) -> None:
        *keys, self._cut = (self._cut + os.read(self._pipe, _PIPE_BYTES)).split(b"\n")
        for key in keys:
            self.app.leave(key)

    async def _order(self, what: str) -> None:
        await self._ask("POST", what)

    async def _ask(self, method: str, what: str) -> str:
        link = aiohttp.UnixConnector(str(self._terms.envoy_admin))
        timeout = aiohttp.ClientTimeout(_ORDER_S)
        async with (
            aiohttp.ClientSession(
                connector=link, timeout=timeout, raise_for_status=True
            ) as session,
            session.request(method, f"http://envoy/{what}") as answer,
        ):
            return await answer.text()
