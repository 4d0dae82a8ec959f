"""How is a backend asked over HTTP: over TCP, over TLS, or by a Unix socket?

One `HttpLink` per address keeps its connections open between calls. What goes wrong on the way is
translated here, once; what the server itself answers is the adapter's to read (`http_errors`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, TypeAlias

import aiohttp
from aiohttp.abc import AbstractStreamWriter

from gateway.backend_config import BackendTlsConfig
from gateway.backends.tls import ssl_context
from gateway.errors import BackendInvalid, BackendRefused, BackendTimeout, BackendUnavailable
from gateway.messages import Deadline

__all__ = ["APART_BYTES", "HttpLink", "HttpReply"]

# Below uvicorn's five seconds: a server that closes an idle connection just as we use it breaks the call.
_KEEP_IDLE_S = 3.0
_UNIX = "unix:"

APART_BYTES = 64 * 1024
"""A smaller body is joined: it is copied faster than its pieces are sent one by one."""

Piece: TypeAlias = bytes | memoryview


@dataclass(frozen=True, slots=True)
class HttpReply:
    """What a server answered. The names in `headers` are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpLink:
    """The connections to one HTTP server; made inside a running event loop.

    Attributes:
        name: The backend's name in the configuration, for errors.
        address: `host:port` or `unix:/path`.
    """

    # Their number has no bound of its own: the arm's `max_in_flight` is the bound.

    def __init__(
        self,
        name: str,
        address: str,
        *,
        max_message_bytes: int,
        tls: BackendTlsConfig | None = None,
    ) -> None:
        self.name = name
        self.address = address
        self._max_bytes = max_message_bytes
        self._server_name = tls.server_name or None if tls else None
        self._ssl = True if tls is None else ssl_context(tls)
        path = address.removeprefix(_UNIX) if address.startswith(_UNIX) else None
        self._base = f"{'https' if tls else 'http'}://{'localhost' if path else address}"
        self._session = aiohttp.ClientSession(
            connector=_connector(path),
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=None
            ),  # the deadline is the bound
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers={"Accept-Encoding": "identity"},
        )

    async def ask(
        self,
        method: Literal["GET", "POST"],
        path: str,
        deadline: Deadline,
        *,
        body: bytes | Sequence[Piece] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> HttpReply:
        """Send one request and wait for the whole answer, at most until `deadline`.

        A cancelled caller closes the connection; the server may still finish the work. A body in pieces is
        sent from where they are.

        Raises:
            BackendUnavailable: it cannot be reached, went away, or the link is closed.
            BackendTimeout: no answer before `deadline`.
            BackendRefused: its answer is over `max_message_bytes`.
            BackendInvalid: its answer is not HTTP.
        """
        with self._translated():
            async with asyncio.timeout_at(deadline.at):
                async with self._session.request(
                    method,
                    self._base + path,
                    data=_content(body),
                    headers=headers,
                    allow_redirects=False,
                    ssl=self._ssl,
                    server_hostname=self._server_name,
                ) as response:
                    answer = await self._read(response.content)
                    names = {name.lower(): value for name, value in response.headers.items()}
                    return HttpReply(response.status, names, answer)

    async def aclose(self) -> None:
        """Close the connections; calls still in flight fail."""
        await self._session.close()

    async def _read(self, content: aiohttp.StreamReader) -> bytes:
        parts: list[bytes] = []
        size = 0
        async for part in content.iter_any():
            size += len(part)
            if size > self._max_bytes:
                raise BackendRefused(
                    f"backend {self.name} sent more than {self._max_bytes} bytes",
                    code="RESOURCE_EXHAUSTED",
                )
            parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        where = f"backend {self.name} at {self.address}"
        if self._session.closed:
            raise BackendUnavailable(f"{where}: the connection was closed")
        try:
            yield
        except TimeoutError as exc:
            raise BackendTimeout(f"{where} did not answer in time") from exc
        except (aiohttp.ClientResponseError, aiohttp.InvalidURL) as exc:
            raise BackendInvalid(f"{where} sent what is no HTTP answer: {exc}") from exc
        except (aiohttp.ClientError, OSError) as exc:
            text = str(exc) or type(exc).__name__
            raise BackendUnavailable(f"{where} cannot be reached: {text}") from exc


class _Pieces(aiohttp.Payload):
    """A body in pieces: aiohttp copies one of bytes behind the head."""

    def __init__(self, pieces: Sequence[Piece], size: int) -> None:
        super().__init__(pieces)
        self._size = size

    async def write(self, writer: AbstractStreamWriter) -> None:
        for piece in self._value:
            await writer.write(piece)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return b"".join(self._value).decode(encoding, errors)


def _content(body: bytes | Sequence[Piece] | None) -> bytes | _Pieces | None:
    if body is None or isinstance(body, bytes):
        return body
    size = sum(map(len, body))
    return _Pieces(body, size) if size >= APART_BYTES else b"".join(body)


def _connector(path: str | None) -> aiohttp.BaseConnector:
    if path is not None:
        return aiohttp.UnixConnector(path, limit=0, keepalive_timeout=_KEEP_IDLE_S)
    return aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_IDLE_S, ttl_dns_cache=10)
