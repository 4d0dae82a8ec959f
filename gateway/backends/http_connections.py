"""Which connections to one HTTP server are there, and which of them takes the next request?

The one used last: the others may grow old, and are closed. Their number has no bound of its own: the arm's
`max_in_flight` is the bound.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

from aiohappyeyeballs import start_connection

from gateway.backends.http_connection import Connection

__all__ = ["KEEP_IDLE_S", "Connections"]

KEEP_IDLE_S = 3.0
"""Below uvicorn's five seconds: a server that closes an idle connection just as we use it breaks the call."""

_SCRATCH_BYTES = 64 * 1024
_UNIX = "unix:"
_NEXT_ADDRESS_S = 0.25  # RFC 8305: how long before the next of a name's addresses is tried beside


class Connections:
    """All connections to one address; made inside a running event loop."""

    # Invariants: `_idle` is ordered by when they were given back; `_sweep` is set while there are any.

    def __init__(
        self,
        address: str,
        *,
        max_bytes: int,
        tls: ssl.SSLContext | None = None,
        server_name: str | None = None,
        keep_idle_s: float = KEEP_IDLE_S,
    ) -> None:
        """Begin without a connection.

        Args:
            address: `host:port` or `unix:/path`.
            max_bytes: Of an answer's body.
            tls: Its settings; None for none.
            server_name: Whose certificate is wanted; None for the address's host.
            keep_idle_s: How long one is kept that nobody uses, in seconds.
        """
        self._address = address
        self._max_bytes = max_bytes
        self._tls = tls
        self._server_name = server_name
        self._keep_idle_s = keep_idle_s
        self._loop = asyncio.get_running_loop()
        self._scratch = memoryview(bytearray(_SCRATCH_BYTES))
        self._all: set[Connection] = set()
        self._idle: list[Connection] = []
        self._sweep: asyncio.TimerHandle | None = None
        self.is_closed = False

    def __repr__(self) -> str:
        return f"Connections({self._address!r}: {len(self._all)} open, {len(self._idle)} idle)"

    def take_idle(self) -> Connection | None:
        """One that is open already, None if there is none."""
        too_old = self._loop.time() - self._keep_idle_s
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable and connection.idle_since > too_old:
                return connection
            connection.close()
        return None

    async def open(self) -> Connection:
        """A new one.

        Raises:
            OSError: the server cannot be reached, its certificate is not good, or the address is none.
        """
        connection = await self._open()
        if self.is_closed:
            connection.drop()
            raise ConnectionAbortedError("the connection was closed")
        self._all.add(connection)
        return connection

    def give_back(self, connection: Connection) -> None:
        """It was used, and may be again."""
        if not connection.is_clean:
            return
        connection.idle_since = self._loop.time()
        self._idle.append(connection)
        if self._sweep is None:
            self._sweep = self._loop.call_later(self._keep_idle_s, self._close_old)

    async def aclose(self) -> None:
        """Close them all, those in use as well."""
        self.is_closed = True
        if self._sweep is not None:
            self._sweep.cancel()
        self._idle.clear()
        for connection in tuple(self._all):
            connection.drop()
        await asyncio.sleep(0)  # the transports close in the loop's next turn

    async def _open(self) -> Connection:
        path = self._address.removeprefix(_UNIX)
        if path != self._address:
            name = (self._server_name or "localhost") if self._tls else None
            _, protocol = await self._loop.create_unix_connection(
                self._made, path, ssl=self._tls, server_hostname=name
            )
            return protocol
        host, port = self._target()
        name = (self._server_name or host) if self._tls else None
        with ExitStack() as undo:
            sock = await self._connect(host, port)
            undo.callback(sock.close)
            _, protocol = await self._loop.create_connection(
                self._made, sock=sock, ssl=self._tls, server_hostname=name
            )
            undo.pop_all()
        return protocol

    def _target(self) -> tuple[str, int]:
        try:
            target = urlsplit(f"//{self._address}")
            port = target.port
        except ValueError as error:
            raise OSError(f"{self._address!r} is no address: {error}") from error
        return target.hostname or "", port or (443 if self._tls else 80)

    async def _connect(self, host: str, port: int) -> socket.socket:
        found: Any = await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return await start_connection(
            found, happy_eyeballs_delay=_NEXT_ADDRESS_S, interleave=1, loop=self._loop
        )

    def _made(self) -> Connection:
        return Connection(self._scratch, self._max_bytes, on_lost=self._all.discard)

    def _close_old(self) -> None:
        self._sweep = None
        too_old = self._loop.time() - self._keep_idle_s
        self._idle = [connection for connection in self._idle if connection.is_usable]
        while self._idle and self._idle[0].idle_since <= too_old:
            self._idle.pop(0).close()
        if self._idle:
            self._sweep = self._loop.call_at(
                self._idle[0].idle_since + self._keep_idle_s, self._close_old
            )
