"""How do LoadGen's queries reach the gateway when it says so, however long the answers take? One thread, one epoll.

LoadGen calls us in its own thread and wants it back at once: a query is put down there and sent here.
"""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from loadtests.open_loop import Answer
from loadtests.open_loop.connection import Connection, Lost

__all__ = ["Sender", "sending"]

LOST = Answer(0, b"")


class Sender:
    """Sends queries over as many connections as it needs; the answer of query `n` is `answers[n]`.

    Attributes:
        samples: Of every query so far, which sample it asked for.
        answers: Of every query so far, its answer once there is one; status 0 where the connection was lost.
    """

    # A connection is in `_free`, or its query is under way. `_told` is the only thing that both threads change.

    def __init__(
        self, address: str, requests: Sequence[bytes], on_answer: Callable[[int], None]
    ) -> None:
        """Say `on_answer(id)` for each query, in the sender's thread."""
        host, _, port = address.rpartition(":")
        self._address = host, int(port)
        self._requests = requests
        self._on_answer = on_answer
        self._poll = select.epoll()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK)
        self._poll.register(self._bell, select.EPOLLIN)
        self._told: deque[tuple[int, int]] = deque()
        self._ids: list[int] = []
        self._open: dict[int, Connection] = {}
        self._free: list[Connection] = []
        self._ends = False
        self.samples: list[int] = []
        self.answers: list[Answer | None] = []

    def ask(self, queries: Sequence[tuple[int, int]]) -> None:
        """Queries as (id, sample), from any thread."""
        self._told.extend(queries)
        os.eventfd_write(self._bell, 1)

    def end(self) -> None:
        """Stop, from any thread; what is under way is left."""
        self._ends = True
        os.eventfd_write(self._bell, 1)

    def run(self) -> None:
        """Send and receive until the end; the thread's life."""
        while not self._ends:
            for fd, events in self._poll.poll():
                if fd == self._bell:
                    os.eventfd_read(self._bell)
                    while self._told:
                        self._begin(*self._told.popleft())
                else:
                    self._serve(self._open[fd], events)
        for connection in list(self._open.values()):
            self._drop(connection)
        self._poll.close()
        os.close(self._bell)

    def _begin(self, query: int, sample: int) -> None:
        self._ids.append(query)
        self.samples.append(sample)
        self.answers.append(None)
        self._send(len(self._ids) - 1)

    def _send(self, number: int) -> None:
        connection = self._free.pop() if self._free else Connection(*self._address, self._poll)
        self._open[connection.fd] = connection
        try:
            connection.ask(number, self._requests[self.samples[number]])
        except Lost:
            self._lose(connection)

    def _serve(self, connection: Connection, events: int) -> None:
        try:
            answered = connection.on_ready(events)
        except Lost:
            self._lose(connection)
            return
        if answered is None:
            return
        self._settle(*answered)
        if connection.keeps_alive:
            self._free.append(connection)
        else:
            self._drop(connection)

    def _lose(self, connection: Connection) -> None:
        number = connection.asking
        if connection in self._free:
            self._free.remove(connection)
        self._drop(connection)
        if number is not None and connection.answered:
            self._send(
                number
            )  # it may have met the closing of an idle connection; a new one settles it
        elif number is not None:
            self._settle(number, LOST)

    def _settle(self, number: int, answer: Answer) -> None:
        self.answers[number] = answer
        self._on_answer(self._ids[number])

    def _drop(self, connection: Connection) -> None:
        del self._open[connection.fd]
        connection.close()


@contextmanager
def sending(sender: Sender) -> Iterator[Sender]:
    """Let it run in a thread until the block ends."""
    thread = threading.Thread(target=sender.run, name="sender")
    thread.start()
    try:
        yield sender
    finally:
        sender.end()
        thread.join()
