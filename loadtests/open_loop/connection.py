"""How is one request at a time sent over a connection, and when is its answer complete? Never blocks."""

from __future__ import annotations

import select
import socket
from contextlib import suppress

import httptools

from loadtests.open_loop.offered import Answer

__all__ = ["Connection", "Lost"]

_READ_BYTES = 1 << 18


class Lost(Exception):
    """The server closed the connection, or what it sent is not HTTP."""


class Connection:
    """An HTTP/1.1 connection, kept alive; the caller tells it when its socket is ready."""

    # `asking` is the request under way, None between two. `_unsent` is empty unless the kernel took a part.

    def __init__(self, host: str, port: int, poll: select.epoll) -> None:
        """Begin to connect."""
        self._socket = socket.socket()
        self._socket.settimeout(0)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(BlockingIOError):
            self._socket.connect((host, port))
        self._poll = poll
        self._unsent = b""
        self._parser = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []
        self._complete = False
        self.asking: int | None = None
        self.answered = 0  # answers so far
        self.keeps_alive = True
        self._connected = False
        poll.register(self._socket, select.EPOLLIN | select.EPOLLOUT)

    @property
    def fd(self) -> int:
        """The socket's."""
        return self._socket.fileno()

    def ask(self, number: int, request: bytes) -> None:
        """Send a whole request; the last one has been answered.

        Raises:
            Lost: the server has closed the connection.
        """
        self.asking = number
        self._unsent = request
        if self._connected:
            self._send()
            if self._unsent:
                self._poll.modify(self._socket, select.EPOLLIN | select.EPOLLOUT)

    def on_ready(self, events: int) -> tuple[int, Answer] | None:
        """Do what epoll says can be done; the number of the request and its answer, once that is complete.

        Raises:
            Lost: the connection has ended, or what came is not HTTP.
        """
        number = self.asking
        if events & select.EPOLLOUT:
            self.writable()
        answer = self.readable() if events & ~select.EPOLLOUT else None
        return None if answer is None or number is None else (number, answer)

    def writable(self) -> None:
        """The socket takes bytes: it is connected, and what was left can go.

        Raises:
            Lost: it could not connect, or the server has closed the connection.
        """
        self._connected = True
        self._send()
        if not self._unsent:
            self._poll.modify(self._socket, select.EPOLLIN)

    def readable(self) -> Answer | None:
        """The socket has bytes, or its end: the answer, once it is complete.

        Raises:
            Lost: it is the end, or not HTTP.
        """
        try:
            data = self._socket.recv(_READ_BYTES)
            if not data:
                raise Lost("the server closed the connection")
            self._parser.feed_data(data)
        except BlockingIOError:
            return None
        except (OSError, httptools.HttpParserError) as exc:
            raise Lost(f"{type(exc).__name__}: {exc}") from exc
        if not self._complete:
            return None
        answer = Answer(self._parser.get_status_code(), b"".join(self._body))
        self._complete, self._body = False, []
        self.asking = None
        self.answered += 1
        return answer

    def close(self) -> None:
        """Let go of the socket."""
        self._poll.unregister(self._socket)
        self._socket.close()

    def _send(self) -> None:
        if not self._unsent:
            return
        try:
            self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except BlockingIOError:
            return
        except OSError as exc:
            raise Lost(f"{type(exc).__name__}: {exc}") from exc

    # httptools calls these.

    def on_body(self, body: bytes) -> None:
        """A piece of the answer's body."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """The answer is whole."""
        self._complete = True
        self.keeps_alive = self._parser.should_keep_alive()
