"""A server over TCP that says and does whatever a test likes, and a link to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

from gateway.backends.http_link import HttpLink
from gateway.messages import Deadline
from tests.backends.http_server import Certificates

__all__ = ["END", "LARGE", "LIMIT", "OK", "Run", "Talk", "link_to", "soon"]

LIMIT = 2**24
LARGE = bytes(range(256)) * 4096
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
END = b"\r\n\r\n"

Talk: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter, int], Awaitable[None]]
Run: TypeAlias = Callable[[Coroutine[Any, Any, None]], None]


def soon() -> Deadline:
    """Later than any test takes."""
    return Deadline.after(asyncio.get_running_loop().time(), 20)


@asynccontextmanager
async def link_to(talk: Talk, pems: Certificates | None = None) -> AsyncIterator[HttpLink]:
    """A link to a server that talks so, over TLS if there are `pems`.

    `talk` is told how many connections there were before.
    """
    count = 0

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        number, count = count, count + 1
        try:
            await talk(reader, writer, number)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the link has hung up
        finally:
            writer.transport.abort()

    served, trusted = (pems.served(), pems.trusted()) if pems else (None, None)
    server = await asyncio.start_server(meet, "127.0.0.1", 0, ssl=served)
    async with server:
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        link = HttpLink("pt", address, max_message_bytes=LIMIT, tls=trusted)
        try:
            yield link
        finally:
            await link.aclose()
