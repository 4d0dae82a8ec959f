"""How is a request that arrives in one piece answered without an ASGI application's task?

A `Shortcut` is offered it first; what it does not take goes to the application. Clients that keep their
connection send the same head again and again: a piece that begins with the head of the request before and has
just the size of the whole request is one, and is not parsed again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Protocol

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from gateway.http1.bounds import BoundedConnection
from gateway.http1.cycle import APART_BYTES, Cycle, LazyEvent
from gateway.http1.intake import INTAKE_BYTES, Intake

__all__ = ["END", "DirectConnection", "DirectCycle", "Shortcut"]

_MAX_KEPT_BYTES = 4096  # of a head, for each connection
_MAX_DIGITS = 19
END = b"\r\n\r\n"
"""What a head ends with."""


class _Errand(Protocol):
    def abandon(self) -> None: ...


class _Held(Protocol):
    def release(self) -> None: ...


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

    def hold(self, head: Any, size: int) -> _Held | None:
        """Room for a large body of a request with such a head; None if it is the application's to take."""
        ...

    def begin(
        self, head: Any, body: bytes | memoryview, client: Any, held: Any = None
    ) -> _Errand | None:
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
    _is_taking_in = False

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
        if self.shortcut is None or cycle.waiting_for_100_continue:
            return False
        if cycle.scope["method"] != "POST":  # its application may not wait for a body at all
            return False
        return 0 <= _declared_bytes(cycle) <= INTAKE_BYTES  # a larger one is accounted for first

    def _is_whole(self, cycle: Cycle) -> bool:
        return not (cycle.more_body or self._is_arriving) and self._is_next(cycle)

    def _is_next(self, cycle: Cycle) -> bool:
        """Whether nothing but this request is to be answered before the connection goes on as usual."""
        return (
            not (cycle.disconnected or self.pipeline or self._refusal)
            and cycle.keep_alive
            and self.cycle is cycle
            and not self.flow.write_paused
        )

    def _takes_in(self, cycle: Cycle, first: bytes | memoryview) -> bool:
        """Whether the rest of a large body, of which `first` is here, goes straight to its place.

        Until it is there, its request has begun and nobody serves it, as with a small one.
        """
        if self._is_taking_in:
            return True
        size = _declared_bytes(cycle)
        if self.shortcut is None or size <= INTAKE_BYTES or len(first) >= size:
            return False
        head = self.shortcut.read(cycle.scope) if self._is_next(cycle) else None
        held = None if head is None else self.shortcut.hold(head, size)
        if held is None:
            return False
        self._is_taking_in = True

        def end(body: memoryview | None) -> None:
            self._is_taking_in = False
            if body is None or self._begun is not cycle:
                held.release()
            else:
                self._taken_in(cycle, (head, body, held))

        self.transport.set_protocol(Intake(self, first, size, on_end=end))
        if self.flow.read_paused:  # the parser was given much of it, behind the rest of a head
            self.flow.resume_reading()
        return True

    def _taken_in(self, cycle: Cycle, request: tuple[object, memoryview, _Held]) -> None:
        head, body, held = request
        self._begun = None
        self._is_arriving = cycle.more_body = False
        self._stop_timer()
        self._parse_anew()  # it has not seen the body
        if self._is_next(cycle) and self._take(head, body, held):
            return
        held.release()
        cycle.body = bytes(body)
        self._start(cycle)

    def _parse_anew(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's

    def _take(self, head: object, body: bytes | memoryview, held: _Held | None = None) -> bool:
        """Give a request to the shortcut; False if it does not want it."""
        assert self.shortcut is not None, "nothing was kept without one"
        before = self.cycle, self._served
        served: Any = DirectCycle(self)
        self.cycle = self._served = served
        self._idle_since = None
        errand = self.shortcut.begin(head, body, served, held)
        if errand is None:
            self.cycle, self._served = before
            return False
        if not served.response_complete:
            served.errand = errand
        return True

    def _keep(self, head: object, piece: bytes, size: int) -> None:
        """Keep the head, the first `size` bytes of the piece, if it is certain that they are just that."""
        whole = 0 < size <= _MAX_KEPT_BYTES and piece.find(END) == size - len(END)
        self._kept = _Kept(piece[:size], head, len(piece)) if whole else None

    def answer(self, reply: _Reply, request_id: str, *, keep_alive: bool) -> None:
        """Send a whole answer, with its request's id if there is one."""
        own = self.server_state.default_headers
        if self._own_lines[0] is not own:  # there are new ones each second
            self._own_lines = own, b"".join([b"%b: %b\r\n" % header for header in own])
        more = b"".join([b"%b: %b\r\n" % header for header in reply.headers])
        body = reply.body
        head = b"%b%bcontent-type: %b\r\ncontent-length: %d\r\n%b%b%b\r\n" % (
            STATUS_LINE[reply.status],
            self._own_lines[1],
            reply.content_type,
            len(body),
            b"x-request-id: %b\r\n" % request_id.encode() if request_id else b"",
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


def _declared_bytes(cycle: Cycle) -> int:
    """How large its body says it is; -1 if it does not say so once, in as few digits as an int64 has."""
    declared = [value for name, value in cycle.scope["headers"] if name == b"content-length"]
    if len(declared) != 1 or len(declared[0]) > _MAX_DIGITS or not declared[0].isdigit():
        return -1
    return int(declared[0])
