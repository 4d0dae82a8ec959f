"""How is a backend asked over HTTP: over TCP, over TLS, or by a Unix socket?

One `HttpLink` per address keeps its connections open between calls. What goes wrong on the way is
translated here, once; what the server itself answers is the adapter's to read (`http_errors`).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from gateway.backend_config import BackendTlsConfig
from gateway.backends.http_answer import Answer, AnswerTooLarge, Body, NoAnswer
from gateway.backends.http_connection import Connection
from gateway.backends.http_connections import Connections
from gateway.backends.tls import ssl_context
from gateway.errors import BackendInvalid, BackendRefused, BackendTimeout, BackendUnavailable
from gateway.messages import Deadline

__all__ = ["APART_BYTES", "HttpLink", "HttpReply"]

APART_BYTES: Final = 64 * 1024
"""A smaller body is joined: it is copied faster than its pieces are sent one by one."""

Method: TypeAlias = Literal["GET", "POST"]

_UNIX = "unix:"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NO_TARGET = re.compile(r"[^!-~]")  # a space would end it


@dataclass(frozen=True, slots=True)
class HttpReply:
    """What a server answered. The names in `headers` are lower case.

    Attributes:
        content: The body, a read-only view where it is large.
    """

    status: int
    headers: Mapping[str, str]
    content: Body

    @property
    def body(self) -> bytes:
        """The body as bytes, for what reads nothing else."""
        return bytes(self.content)


class HttpLink:
    """The connections to one HTTP server; made inside a running event loop.

    Attributes:
        name: The backend's name in the configuration, for errors.
        address: `host:port` or `unix:/path`.
    """

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
        self._connections = Connections(
            address,
            max_bytes=max_message_bytes,
            tls=None if tls is None else ssl_context(tls),
            server_name=(tls.server_name or None) if tls else None,
        )
        host = "localhost" if address.startswith(_UNIX) else address
        self._common = (
            f"Host: {host}\r\nUser-Agent: tandem\r\nAccept: */*\r\nAccept-Encoding: identity\r\n"
        )

    async def ask(
        self,
        method: Method,
        path: str,
        deadline: Deadline,
        *,
        body: bytes | Sequence[Body] | None = None,
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
        pieces = (body,) if isinstance(body, bytes) else tuple(body or ())
        head = self._head(method, path, sum(map(len, pieces)), headers or {})
        request = _joined(head, pieces)
        with self._translated():
            async with asyncio.timeout_at(deadline.at):
                answer = await self._ask(request, is_safe=method == "GET")
        return HttpReply(answer.status, answer.headers, answer.body)

    async def aclose(self) -> None:
        """Close the connections; calls still in flight fail."""
        await self._connections.aclose()

    def _head(self, method: Method, path: str, size: int, headers: Mapping[str, str]) -> bytes:
        """The head of a request.

        Raises:
            ValueError: something in it would end its line.
        """
        lines = [f"{name}: {value}" for name, value in headers.items()]
        if _NO_TARGET.search(path) or any(_CONTROL.search(line) for line in lines):
            raise ValueError(f"a request must not contain control characters: {path!r}, {headers}")
        if method == "POST":
            lines.append(f"Content-Length: {size}")
        rest = "".join([f"{line}\r\n" for line in lines])
        return f"{method} {path} HTTP/1.1\r\n{self._common}{rest}\r\n".encode()

    async def _ask(self, request: Sequence[Body], *, is_safe: bool) -> Answer:
        """Ask on an open connection, if there is one; once more on a new one if that is safe.

        Of a request that was sent and not answered nobody knows whether it has begun: only a question
        is asked again.
        """
        idle = self._connections.take_idle()
        if idle is not None:
            try:
                return await self._ask_on(idle, request)
            except ConnectionError:
                if not is_safe:
                    raise
        return await self._ask_on(await self._connections.open(), request)

    async def _ask_on(self, connection: Connection, request: Sequence[Body]) -> Answer:
        try:
            return await connection.ask(request)
        finally:
            self._connections.give_back(connection)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        where = f"backend {self.name} at {self.address}"
        if self._connections.is_closed:
            raise BackendUnavailable(f"{where}: the connection was closed")
        try:
            yield
        except TimeoutError as exc:
            if exc.errno is not None:  # the kernel's, of a connection
                raise BackendUnavailable(f"{where} cannot be reached: {exc}") from exc
            raise BackendTimeout(f"{where} did not answer in time") from exc
        except AnswerTooLarge as exc:
            raise BackendRefused(
                f"backend {self.name} sent more than {self._max_bytes} bytes",
                code="RESOURCE_EXHAUSTED",
            ) from exc
        except OSError as exc:
            text = str(exc) or type(exc).__name__
            raise BackendUnavailable(f"{where} cannot be reached: {text}") from exc
        except NoAnswer as exc:
            raise BackendInvalid(f"{where} sent what is no HTTP answer: {exc}") from exc


def _joined(head: bytes, pieces: Sequence[Body]) -> Sequence[Body]:
    """What is written: one piece where it is small, else as few small ones as there are."""
    if sum(map(len, pieces)) < APART_BYTES:
        return (b"".join((head, *pieces)),)
    first, *rest = pieces
    return (head, first, *rest)
