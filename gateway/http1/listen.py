"""Where do we listen, and how does a listener stop without losing a request?"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import uvicorn

from gateway.http1.direct import Shortcut
from gateway.http1.protocol import BoundedProtocol, Manners

__all__ = [
    "BACKLOG",
    "KEEP_ALIVE_S",
    "UNIX",
    "App",
    "HttpServer",
    "ListenError",
    "joined",
    "listen_http",
    "listening_socket",
    "split",
]

App: TypeAlias = Callable[..., Awaitable[None]]
"""An ASGI application."""

BACKLOG = 2048
KEEP_ALIVE_S = 75
UNIX = "unix:"
_PROBE_S = 1.0


class ListenError(Exception):
    """An address cannot be listened on; names it and the setting it came from."""


class _Quiet(uvicorn.Server):
    """A uvicorn server that leaves the process's signals to whoever runs several of them."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.began = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.began.set()


class HttpServer:
    """One HTTP listener; without a socket of its own, one that is handed its connections."""

    def __init__(
        self,
        app: App,
        listening: socket.socket | None,
        manners: Manners,
        *,
        grace_s: float,
        shortcut: Shortcut | None = None,
    ) -> None:
        own = {"manners": manners, "shortcut": shortcut}
        self._sockets = [] if listening is None else [listening]
        self._server = _Quiet(
            uvicorn.Config(
                app,
                http=type("Protocol", (BoundedProtocol,), own),
                interface="asgi3",  # uvicorn would guess, from whether the call is a coroutine function
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,  # nothing here depends on who the caller says it is
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=max(1, round(grace_s)),
                backlog=BACKLOG,
            )
        )
        self._stopped = asyncio.Event()

    async def serve_until_stopped(self) -> None:
        """Serve until `stop`, and until every request that had begun was answered."""
        try:
            await self._server.serve(sockets=self._sockets)
        finally:
            for listening in self._sockets:
                listening.close()
            self._stopped.set()

    async def take(self, connection: socket.socket) -> None:
        """Serve a connection that was accepted elsewhere; returns when it has begun.

        It is closed if its client has left already, and if the server ends before it begins.
        """
        server, loop = self._server, asyncio.get_running_loop()
        try:
            await server.began.wait()
            await loop.connect_accepted_socket(self._protocol, connection)
        except OSError:  # its client has left
            connection.close()
        except asyncio.CancelledError:
            connection.close()
            raise

    def _protocol(self) -> asyncio.Protocol:
        # As uvicorn makes one for a connection that it accepts itself.
        config = self._server.config
        make: type[BoundedProtocol] = config.http_protocol_class  # type: ignore[assignment]
        return make(config=config, server_state=self._server.server_state, app_state={})

    async def stop(self) -> None:
        """Stop listening, answer the requests that have begun, close idle connections."""
        self._server.should_exit = True
        await self._stopped.wait()


def listen_http(  # all of them by name
    app: App,
    address: str,
    manners: Manners,
    *,
    setting: str,
    grace_s: float,
    shortcut: Shortcut | None = None,
) -> tuple[HttpServer, str]:
    """A server for `app`, and the address it really has (port 0 takes a free one).

    `shortcut` is offered each request before `app` is.

    Raises:
        ListenError: the address is taken, or is none of this machine's.
    """
    listening, address = listening_socket(address, setting=setting)
    server = HttpServer(app, listening, manners, shortcut=shortcut, grace_s=grace_s)
    return server, address


def listening_socket(address: str, *, setting: str) -> tuple[socket.socket, str]:
    """A socket that listens on `host:port` or `unix:/path`, and the address it really has.

    Raises:
        ListenError: the address is taken, or is none of this machine's.
    """
    try:
        if address.startswith(UNIX):
            listening = _on_path(address.removeprefix(UNIX))
        else:
            host, port = split(address)
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            listening = socket.create_server((host, port), family=family, backlog=BACKLOG)
            address = joined(host, listening.getsockname()[1])
    except OSError as exc:
        raise ListenError(f"{setting}: cannot listen on {address}: {exc.strerror}") from exc
    listening.setblocking(False)  # noqa: FBT003 - the socket module's own signature
    return listening, address


def _on_path(path: str) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX)
    try:
        _clear(path)
        listening.bind(path)
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening


def _clear(path: str) -> None:
    """Take away the socket of a server that ended without doing so.

    Raises:
        OSError: a server listens on it, or it is no socket.
    """
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_PROBE_S)
        try:
            probe.connect(path)
        except FileNotFoundError:
            return
        except ConnectionRefusedError:
            if Path(path).is_socket():
                Path(path).unlink(missing_ok=True)
                return
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def split(address: str) -> tuple[str, int]:
    """`host:port` or `[v6]:port` as a pair; the configuration has checked it."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def joined(host: str, port: int) -> str:
    """The pair as `host:port`, an IPv6 host in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
