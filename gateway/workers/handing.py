"""How does a connection get from the supervisor to a worker?

The supervisor accepts it and sends its descriptor over a line: a pair of Unix sockets, of which the worker
inherits one end. Why not let every worker accept:

- On a socket that all share, whoever wakes first takes all that wait, so that of 64 connections opened at
  once one worker may serve nearly all, for as long as they last.
- With a socket each (`SO_REUSEPORT`), the kernel draws one for every connection: of 16 connections, 8 workers
  get 2 each on average, and some none; and what waits at the socket of a worker that dies is reset.

Here they go round, to whoever has the least unread on its line. The supervisor keeps the worker's end open too:
what a dead worker had not read is read by the supervisor, and handed to another.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import socket
import sys
import termios
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Final

__all__ = ["Handed", "Line", "Reception"]

_CONNECTION: Final = b"c"
_END: Final = b"e"
_AT_ONCE: Final = 64  # in one turn of the loop
_MAX_UNREAD_BYTES: Final = 64 * 1024  # some 80 connections: less than a line can hold
_PAUSE_S: Final = 0.01

_log = logging.getLogger("tandem.workers")


class Line:
    """The way of connections to one worker, for all its lives.

    Attributes:
        far: The worker's end, which it inherits.
        is_open: Whether it takes connections now.
    """

    def __init__(self) -> None:
        # Messages, not a stream: each has one connection, and is read whole or not at all.
        self._near, self.far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (self._near, self.far):
            end.setblocking(False)  # noqa: FBT003 - the socket module's own signature
        self.is_open = False

    @property
    def unread_bytes(self) -> int:
        """What the worker has not read yet, as the kernel counts its own memory."""
        told = fcntl.ioctl(self._near, termios.TIOCOUTQ, bytes(4))
        return int.from_bytes(told, sys.byteorder)

    def send(self, connection: socket.socket) -> None:
        """Hand a connection over; our copy of it is closed."""
        with connection:
            socket.send_fds(self._near, [_CONNECTION], [connection.fileno()])

    def end(self) -> None:
        """Tell the worker that no more will come; one that does not read is told by its own clock."""
        self.is_open = False
        with suppress(BlockingIOError):
            self._near.send(_END)

    def taken_back(self) -> Iterator[socket.socket]:
        """The connections that its worker, which is dead, had not read."""
        while True:
            try:
                _, found, _, _ = socket.recv_fds(self.far, 1, 1)
            except BlockingIOError:
                return
            yield from (socket.socket(fileno=one) for one in found)

    def close(self) -> None:
        """Close both ends here."""
        self._near.close()
        self.far.close()


class Reception:
    """Accepts connections and hands each to a worker.

    Invariant: while no line is open, or every open one is full, connections wait in the kernel's own queue.
    """

    def __init__(
        self, listening: socket.socket, lines: Sequence[Line], handed: Callable[[int], None]
    ) -> None:
        self._listening = listening
        self._lines = lines
        self._handed = handed
        self._turn = 0
        self._loop = asyncio.get_running_loop()
        self._resuming: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Accept connections from now on."""
        self._resuming = None
        self._loop.add_reader(self._listening.fileno(), self._accept)

    def close(self) -> None:
        """Hand over what has come, and accept no more; every open line is told that it ends."""
        self._loop.remove_reader(self._listening.fileno())
        self._accept(most=None)
        if self._resuming is not None:
            self._resuming.cancel()
        self._listening.close()
        for line in self._lines:
            if line.is_open:
                line.end()

    def rehand(self, line: Line) -> None:
        """Give what a dead worker had not read to the others; to its successor, where there is no other."""
        for connection in [*line.taken_back()]:
            number = self._next()
            if number is None:
                line.send(connection)
            else:
                self._hand(number, connection)

    def _hand(self, number: int, connection: socket.socket) -> None:
        self._lines[number].send(connection)
        self._turn = (number + 1) % len(self._lines)
        self._handed(number)

    def _accept(self, most: int | None = _AT_ONCE) -> None:
        while most is None or most > 0:
            most = None if most is None else most - 1
            number = self._next()
            if number is None:
                self._pause()
                return
            try:
                connection, _ = self._listening.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:  # for want of descriptors or memory
                _log.error("cannot accept", extra={"fields": {"error": str(error)}})
                self._pause()
                return
            self._hand(number, connection)

    def _next(self) -> int | None:
        """Whose turn it is among those with the least unread; None while nobody has room."""
        around = [(self._turn + step) % len(self._lines) for step in range(len(self._lines))]
        unread = {n: self._lines[n].unread_bytes for n in around if self._lines[n].is_open}
        if not unread:
            return None
        number = min(unread, key=unread.__getitem__)
        return number if unread[number] < _MAX_UNREAD_BYTES else None

    def _pause(self) -> None:
        if self._resuming is None:
            self._loop.remove_reader(self._listening.fileno())
            self._resuming = self._loop.call_later(_PAUSE_S, self.begin)


class Handed:
    """A worker's end of its line.

    Attributes:
        ended: Set when no more connections will come.
    """

    def __init__(self, line: socket.socket, take: Callable[[socket.socket], object]) -> None:
        self.ended = asyncio.Event()
        self._line = line
        self._take = take

    def begin(self) -> None:
        """Take connections from now on."""
        asyncio.get_running_loop().add_reader(self._line.fileno(), self._on_readable)

    def close(self) -> None:
        """Take no more; what is not read goes to another worker."""
        asyncio.get_running_loop().remove_reader(self._line.fileno())
        self.ended.set()

    def _on_readable(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                kind, found, _, _ = socket.recv_fds(self._line, 1, 1)
            except BlockingIOError:
                return
            for one in found:
                self._take(socket.socket(fileno=one))
            if kind != _CONNECTION:  # the end, or that of the supervisor
                self.close()
                return
