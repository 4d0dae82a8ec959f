"""How do requests leave when they are due, however long the answers take? One thread and one epoll.

asyncio's and uvloop's timers are a millisecond coarse, and so is epoll's. `select` on the epoll waits to the
microsecond, so that requests leave one by one and not in clumps.
"""

from __future__ import annotations

import gc
import os
import select
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import numpy as np

from loadtests.open_loop.arrivals import Times
from loadtests.open_loop.connection import Connection, Lost
from loadtests.open_loop.offered import Answer, Offered

__all__ = ["offer", "post"]

PRIORITY = -10  # above the servers under test, whose cores it shares; where the system allows it


def post(path: str, body: bytes, *, host: str = "bench") -> bytes:
    """A whole HTTP/1.1 request with a JSON body."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def offer(
    address: str,
    requests: Sequence[bytes],
    due_s: Times,
    *,
    connections: int = 512,
    grace_s: float = 5.0,
) -> Offered:
    """Send `requests`, over and over, each when it is due, and wait for the answers.

    Args:
        address: `host:port`, HTTP/1.1.
        requests: Whole requests; arrival `n` sends `requests[n % len(requests)]`.
        due_s: Ascending seconds from the start, `[arrivals]`. All zero makes a closed loop: everything is sent
            as soon as one of the `connections` is free.
        connections: How many are opened at most. A request that finds none free waits for one, and its
            latency counts all the same.
        grace_s: How long after the last request answers are waited for.

    A request whose connection is closed before the answer has begun is sent again if that connection had answered
    before, as any client does; on a new connection it stays unanswered.
    """
    with _undisturbed():
        run = _Run(address, requests, due_s, connections)
        try:
            return run.run(grace_s)
        finally:
            run.close()


class _Run:
    """One run."""

    # A connection is in `_free`, or its request is under way. A request that is due waits in `_waiting`, is
    # under way, or is settled: answered, or given up.

    def __init__(
        self, address: str, requests: Sequence[bytes], due_s: Times, connections: int
    ) -> None:
        host, _, port = address.rpartition(":")
        self._address = host, int(port)
        self._requests = requests
        self._due = due_s.tolist()
        self._limit = connections
        self._poll = select.epoll()
        self._open: dict[int, Connection] = {}
        self._free: list[Connection] = []
        self._waiting: deque[int] = deque()
        self._next = 0  # the first that is not due yet
        self._settled = 0
        self._reached = [0.0] * len(self._due)
        self._answered = [float("nan")] * len(self._due)
        self._answers: list[Answer | None] = [None] * len(self._due)

    def run(self, grace_s: float) -> Offered:
        total = len(self._due)
        seconds = self._due[-1] if total else 0.0
        used_s, self._start = time.process_time(), time.perf_counter()
        until = seconds + grace_s
        now = 0.0
        while self._settled < total and now < until:
            self._reach(now)
            wake = self._due[self._next] if self._next < total else until
            self._wait(max(wake - self._now(), 0.0))
            now = self._now()
        return Offered(
            due_s=np.array(self._due),
            reached_s=np.array(self._reached),
            answered_s=np.array(self._answered),
            answers=self._answers,
            seconds=seconds,
            busy_ratio=(time.process_time() - used_s) / max(now, 1e-9),
        )

    def close(self) -> None:
        for connection in self._open.values():
            connection.close()
        self._poll.close()

    def _now(self) -> float:
        return time.perf_counter() - self._start

    def _reach(self, now: float) -> None:
        """Take what is due, and send what a connection is there for."""
        while self._next < len(self._due) and self._due[self._next] <= now:
            self._reached[self._next] = now
            self._waiting.append(self._next)
            self._next += 1
        while self._waiting and (self._free or len(self._open) < self._limit):
            self._ask(self._waiting.popleft())

    def _ask(self, number: int) -> None:
        connection = self._free.pop() if self._free else self._connect()
        try:
            connection.ask(number, self._requests[number % len(self._requests)])
        except Lost:
            self._lose(connection)

    def _connect(self) -> Connection:
        connection = Connection(*self._address, self._poll)
        self._open[connection.fd] = connection
        return connection

    def _wait(self, seconds: float) -> None:
        """Until a socket is ready, or this long."""
        select.select([self._poll], [], [], seconds)
        for fd, events in self._poll.poll(0):
            connection = self._open[fd]
            try:
                answered = connection.on_ready(events)
            except Lost:
                self._lose(connection)
                continue
            if answered is not None:
                self._settle(connection, *answered)

    def _settle(self, connection: Connection, number: int, answer: Answer) -> None:
        self._answered[number] = self._now()
        self._answers[number] = answer
        self._settled += 1
        if connection.keeps_alive:
            self._free.append(connection)
        else:
            self._drop(connection)

    def _lose(self, connection: Connection) -> None:
        """The server closed it. Between requests that is its right; a request may then have met the closing."""
        if connection.asking is None:
            self._free.remove(connection)
        elif connection.answered:
            self._waiting.appendleft(
                connection.asking
            )  # sent again, once: on a new connection it settles
        else:
            self._settled += 1  # without an answer
        self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        del self._open[connection.fd]
        connection.close()


@contextmanager
def _undisturbed() -> Iterator[None]:
    """No collection of garbage, and precedence over the servers, while requests are sent."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    gc.collect()
    gc.disable()
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)
    try:
        yield
    finally:
        with suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, 0, before)
        gc.enable()
