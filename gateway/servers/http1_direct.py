"""How is a request that arrives in one piece answered without an ASGI application's task?

A `Shortcut` is offered it first; what it does not take goes to the application. Clients that keep their
connection send the same head again and again: a piece that begins with the head of the request before and has
just the size of the whole request is one, and is not parsed again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Protocol

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from gateway.servers.http1_bounds import BoundedConnection
from gateway.servers.http1_cycle import APART_BYTES, Cycle, LazyEvent

__all__ = ["DirectConnection", "DirectCycle", "Shortcut"]

_MAX_KEPT_BYTES = 4096  # of a head, for each connection
_MAX_AWAITED_BYTES = 16 * 1024  # of a body, before it is accounted for
_END = b"\r\n\r\n"


class _Errand(Protocol):
    def abandon(self) -> None: ...


class _Reply(Protocol):
    @property
    def status(self) -> int: ...

    @property
    def body(self) -> bytes: ...

    @property
    def content_type(self) -> bytes: ...

    @property
    def headers(self) -> Sequence[tuple[bytes, bytes]]: ...


class Shortcut(Protocol):
    """What is asked before the application; see `direct.DirectRoutes`."""

    def read(self, scope: Mapping[str, Any]) -> Any:
        """What it makes of a request's head, None if the request is the application's."""
        ...

    def begin(self, head: Any, body: bytes, client: Any) -> _Errand | None:
        """Serve a request; None, and nothing is done, if it is the application's after all."""
        ...


class DirectCycle:
    """One request that a shortcut serves: as much of a `Cycle` as its connection wants to know."""

    __slots__ = ("_connection", "disconnected", "errand", "keep_alive", "response_complete")

    message_event = LazyEvent()  # nobody waits for it
    response_started = False
    more_body = False

    def __init__(self, connection: DirectConnection) -> None:
        self._connection = connection
        self.errand: _Errand | None = None
        self.disconnected = False
        self.keep_alive = True
        self.response_complete = False

    def answer(self, reply: _Reply, request_id: str) -> None:
        """Send the answer, to who may have gone."""
        self.errand = None
        if not self.disconnected:
            self.response_complete = True
            self._connection.answer(reply, request_id, keep_alive=self.keep_alive)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A task that ends before the server does."""
        connection = self._connection
        task = connection.loop.create_task(work)
        connection.tasks.add(task)
        task.add_done_callback(connection.tasks.discard)
        return task

    def abandon(self, _task: asyncio.Task[None] | None) -> None:
        """The client has gone or was refused."""
        self.disconnected = True
        errand, self.errand = self.errand, None
        if errand is not None:
            errand.abandon()


class _Kept:
    """The head of the latest request, whose end it is known to have had, and what a shortcut made of it."""

    __slots__ = ("head", "raw", "size")

    def __init__(self, raw: bytes, head: object, size: int) -> None:
        self.raw = raw
        self.head = head
        self.size = size


class DirectConnection(BoundedConnection):
    """A connection that offers its requests to a shortcut."""

    shortcut: Shortcut | None = None
    _kept: _Kept | None = None
    _own_lines: tuple[object, bytes] = (None, b"")

    def _is_again(self, data: bytes) -> bool:
        """Whether this piece is a request with the head of the one before, and was given to the shortcut."""
        kept = self._kept
        if kept is None or len(data) != kept.size or not data.startswith(kept.raw):
            return False
        if self._is_arriving or not self._is_quiet():
            return False
        return self._take(kept.head, data[len(kept.raw) :])

    def _is_quiet(self) -> bool:
        """Whether no request waits for its answer, and no answer for its reader."""
        served = self._served
        return (served is None or served.response_complete) and not self.flow.write_paused

    def _begin(self, cycle: Cycle, piece: bytes, *, is_amid: bool) -> None:
        """Serve a request whose head has ended in `piece`, perhaps with all the rest of it.

        `is_amid`: the piece began amid a request, this one or the one before.
        """
        if self.shortcut is not None and self._is_whole(cycle):
            body = bytes(cycle.body)
            head = self.shortcut.read(cycle.scope)
            if head is not None and self._take(head, body):
                if self.flow.read_paused:  # its body is large; departures are to be read
                    self.flow.resume_reading()
                self._keep(head, piece, 0 if is_amid else len(piece) - len(body))
                return
        self._kept = None
        self._start(cycle)

    def _awaits_little(self, cycle: Cycle) -> bool:
        """Whether the rest of a small body is still to come: many clients send it apart from the head."""
        if self.shortcut is None or not cycle.more_body or cycle.waiting_for_100_continue:
            return False
        if cycle.scope["method"] != "POST":  # its application may not wait for a body at all
            return False
        declared = [value for name, value in cycle.scope["headers"] if name == b"content-length"]
        return len(declared) == 1 and int(declared[0][:9]) <= _MAX_AWAITED_BYTES

    def _is_whole(self, cycle: Cycle) -> bool:
        return (
            not (cycle.more_body or cycle.disconnected or self.pipeline or self._refusal)
            and cycle.keep_alive
            and self.cycle is cycle
            and not (self._is_arriving or self.flow.write_paused)
        )

    def _take(self, head: object, body: bytes) -> bool:
        """Give a request to the shortcut; False if it does not want it."""
        assert self.shortcut is not None, "nothing was kept without one"
        before = self.cycle, self._served
        served: Any = DirectCycle(self)
        self.cycle = self._served = served
        self._idle_since = None
        errand = self.shortcut.begin(head, body, served)
        if errand is None:
            self.cycle, self._served = before
            return False
        if not served.response_complete:
            served.errand = errand
        return True

    def _keep(self, head: object, piece: bytes, size: int) -> None:
        """Keep the head, the first `size` bytes of the piece, if it is certain that they are just that."""
        whole = 0 < size <= _MAX_KEPT_BYTES and piece.find(_END) == size - len(_END)
        self._kept = _Kept(piece[:size], head, len(piece)) if whole else None

    def answer(self, reply: _Reply, request_id: str, *, keep_alive: bool) -> None:
        """Send a whole answer."""
        own = self.server_state.default_headers
        if self._own_lines[0] is not own:  # there are new ones each second
            self._own_lines = own, b"".join([b"%b: %b\r\n" % header for header in own])
        more = b"".join([b"%b: %b\r\n" % header for header in reply.headers])
        body = reply.body
        head = b"%b%bcontent-type: %b\r\ncontent-length: %d\r\nx-request-id: %b\r\n%b%b\r\n" % (
            STATUS_LINE[reply.status],
            self._own_lines[1],
            reply.content_type,
            len(body),
            request_id.encode(),
            more,
            b"" if keep_alive else b"connection: close\r\n",
        )
        if len(body) < APART_BYTES:
            self.transport.write(head + body)
        else:
            self.transport.writelines((head, body))
        if not keep_alive:
            self.transport.close()
        self.on_response_complete()
