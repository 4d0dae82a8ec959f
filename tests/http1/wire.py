"""A small ASGI application on a real socket, and a client that sees every byte of it."""

from __future__ import annotations

import asyncio
import dataclasses
import re
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.http1.listen import HttpServer
from gateway.http1.protocol import BoundedProtocol, Manners
from tests.fakes.gateways import until

__all__ = ["App", "Client", "Listener", "Receive", "Send", "answer", "body_of", "piece", "run"]
__all__ += ["serving", "start"]

Receive = Callable[[], Coroutine[Any, Any, Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Any, Receive, Send], Awaitable[None]]
Headers = Iterable[tuple[bytes, bytes]]

PATIENCE_S = 20.0


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, *parts: bytes) -> None:
        """Each part in a segment of its own, as far as a client can tell."""
        for part in parts:
            self.writer.write(part)
            async with asyncio.timeout(PATIENCE_S):
                await self.writer.drain()

    async def head(self) -> bytes:
        """The next head, without the date."""
        async with asyncio.timeout(PATIENCE_S):
            head = await self.reader.readuntil(b"\r\n\r\n")
        return re.sub(rb"date: [^\r]+\r\n", b"", head)

    async def answer(self) -> tuple[int, bytes]:
        """The status and the body of the next answer, which must tell its length."""
        head = await self.head()
        length = re.search(rb"content-length: (\d+)\r\n", head)
        assert length is not None, head
        return int(head[9:12]), await self.exactly(int(length[1]))

    async def exactly(self, count: int) -> bytes:
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.readexactly(count)

    async def rest(self) -> bytes:
        """What comes until the server ends the connection, without dates."""
        async with asyncio.timeout(PATIENCE_S):
            return re.sub(rb"date: [^\r]+\r\n", b"", await self.reader.read())

    def abort(self) -> None:
        """Leave at once."""
        self.writer.transport.abort()

    def reset(self) -> None:
        """Leave at once, and take back what has not been read."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


@dataclasses.dataclass
class Listener:
    """What is served, and what it refused."""

    server: HttpServer
    address: tuple[str, int]
    refusals: list[str]

    @property
    def state(self) -> Any:
        """uvicorn's: connections, tasks and how many requests were answered."""
        return self.server._server.server_state

    @property
    def connection(self) -> Any:
        """The server's side of the only connection."""
        (connection,) = self.state.connections
        return connection

    @asynccontextmanager
    async def connected(self, *, receive_buffer: int | None = None) -> AsyncIterator[Client]:
        sock = socket.socket()
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.setblocking(False)  # noqa: FBT003 - the socket module's own signature
        try:
            await asyncio.get_running_loop().sock_connect(sock, self.address)
        except OSError:
            sock.close()
            raise
        reader, writer = await asyncio.open_connection(sock=sock)
        try:
            yield Client(reader, writer)
        finally:
            writer.transport.abort()

    async def replies_to(self, *parts: bytes) -> bytes:
        """All that comes back on one connection, which the server must end."""
        async with self.connected() as client:
            await client.send(*parts)
            return await client.rest()


@asynccontextmanager
async def serving(
    app: App,
    protocol: type[HttpToolsProtocol] = BoundedProtocol,
    *,
    keep_alive_s: float = 75.0,
    read_timeout_s: float = 30.0,
    grace_s: float = 5.0,
) -> AsyncIterator[Listener]:
    """Serve `app` the way the gateway serves its own, or by uvicorn's own protocol."""
    refusals: list[str] = []
    manners = Manners(read_timeout_s=read_timeout_s, on_refusal=refusals.append)
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setblocking(False)  # noqa: FBT003 - the socket module's own signature
    server = HttpServer(app, listening, manners, grace_s=grace_s)
    config: uvicorn.Config = server._server.config
    config.timeout_keep_alive = keep_alive_s  # type: ignore[assignment]  # seconds all the same
    if not issubclass(protocol, BoundedProtocol):
        config.http = protocol
    listener = Listener(server, listening.getsockname(), refusals)
    async with asyncio.TaskGroup() as group:
        group.create_task(server.serve_until_stopped())
        try:
            await until(lambda: bool(listener.state.default_headers))
            yield listener
        finally:
            await server.stop()


def run(scenario: Awaitable[None]) -> None:
    """On the loop that the gateway runs on."""

    async def main() -> None:
        await scenario

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


async def body_of(receive: Receive) -> bytes:
    """The whole body of a request."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        assert message["type"] == "http.request"
        parts.append(message["body"])
        if not message["more_body"]:
            return b"".join(parts)


def start(status: int = 200, headers: Headers = ()) -> dict[str, object]:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def piece(body: bytes = b"", *, more: bool = False) -> dict[str, object]:
    return {"type": "http.response.body", "body": body, "more_body": more}


async def answer(send: Send, body: bytes, *, status: int = 200, headers: Headers = ()) -> None:
    """An answer in one piece that tells its length."""
    await send(start(status, [(b"content-length", b"%d" % len(body)), *headers]))
    await send(piece(body))
