"""How does a large body get from its socket to where it stays, without a stop on the way?

A piece that a connection is given has been copied out of the loop's buffer; the parser copies it again, and
all of them are copied into one body. For an image of 600 KB that was a fifth of what its request cost, with a
turn of the event loop for each piece. Here the kernel writes the body into its place, and the connection is
told when it is whole.

Where the body belongs is known when the head has been read, and a read takes 256 KB of the body with it. So what
follows a large body on a connection, where another large one is likely, is read in a small piece first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["INTAKE_BYTES", "Intake"]

INTAKE_BYTES = 16 * 1024
"""A body of at most so many comes in one piece, or nearly so."""

_LARGE_BYTES = 64 * 1024  # behind a smaller one, reading in two pieces costs more than it saves

_HEAD_BYTES = 8 * 1024


class _InPlace(asyncio.BufferedProtocol):
    """Speaks to the transport in its connection's place."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone, or was refused."""
        self._connection.connection_lost(exc)

    def eof_received(self) -> bool | None:
        """Nothing more will come."""
        answer: bool | None = self._connection.eof_received()
        return answer

    def pause_writing(self) -> None:
        """There is no room for more of an answer."""
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        """There is room again."""
        self._connection.resume_writing()


class _NextHead(_InPlace):
    """Reads the beginning of what follows a large body."""

    def __init__(self, connection: Any) -> None:
        super().__init__(connection)
        self._piece = memoryview(bytearray(_HEAD_BYTES))

    def get_buffer(self, _sizehint: int) -> memoryview:
        """Room for a head, and for little more."""
        return self._piece

    def buffer_updated(self, nbytes: int) -> None:
        """So many bytes are there."""
        self._connection.transport.set_protocol(self._connection)
        self._connection.data_received(bytes(self._piece[:nbytes]))


class Intake(_InPlace):
    """Receives the rest of one body."""

    def __init__(
        self,
        connection: Any,
        first: bytes | memoryview,
        size: int,
        *,
        on_end: Callable[[memoryview | None], None],
    ) -> None:
        """Begin.

        Args:
            connection: The transport's protocol, before and after.
            first: What has arrived of the body.
            size: Bytes of all of it, more than that.
            on_end: Told the body, read-only; or None if the connection was lost before.
        """
        super().__init__(connection)
        self._on_end = on_end
        self._body = np.empty(size, np.uint8).data  # bytearray would write zeros first
        self._body[: len(first)] = first
        self._at = len(first)

    def get_buffer(self, _sizehint: int) -> memoryview:
        """Where the rest of the body belongs."""
        return self._body[self._at :]

    def buffer_updated(self, nbytes: int) -> None:
        """So many bytes more of it are there."""
        self._at += nbytes
        if self._at == len(self._body):
            is_large = len(self._body) >= _LARGE_BYTES
            after = _NextHead(self._connection) if is_large else self._connection
            self._connection.transport.set_protocol(after)
            self._on_end(self._body.toreadonly())

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone, or was refused."""
        self._on_end(None)
        super().connection_lost(exc)
