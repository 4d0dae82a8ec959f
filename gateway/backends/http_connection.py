"""What is said on one HTTP/1.1 connection to a backend, one request at a time?

With aiohttp a small call took 204 to 265 µs of CPU, spread over a hundred steps that no setting spares; so it
takes 87 to 140, and 65 to 85 without any bound or check.

Rules:
- A connection is used again only if its answer has ended by its own rules, its server keeps it, and all of
  the request was sent: one that was answered before is closed, and so is one whose caller has left.
- After a 500 it is not used again: servers on uvicorn close it behind that answer, without having said so.
- What comes when nothing was asked ends it: no answer is ever taken for that of another request.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable, Sequence
from typing import Any

from gateway.backends.http_answer import Answer, AnswerTooLarge, Body, NoAnswer

__all__ = ["Connection"]

_FAILED = 500
_REFUSED = 400


class Connection(asyncio.BufferedProtocol):
    """One connection; the transport's protocol.

    Attributes:
        is_clean: Whether all that was asked has been answered, and the server keeps it.
        idle_since: When it was last given back, in seconds of the loop's clock.
    """

    # Invariant: `_answer` and `_told` are set while an answer is awaited, and until it is whole.

    _transport: Any = None
    idle_since = 0.0

    def __init__(
        self, scratch: memoryview, max_bytes: int, *, on_lost: Callable[[Connection], None]
    ) -> None:
        """Begin.

        Args:
            scratch: Where small pieces are received; free again when they are read, so it may be shared.
            max_bytes: Of an answer's body.
            on_lost: Told when it has ended, however that came.
        """
        self._scratch = scratch
        self._max_bytes = max_bytes
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._answer: Answer | None = None
        self._told: asyncio.Future[Answer] | None = None
        self._arrivals = select.poll()
        self.is_clean = False

    @property
    def is_usable(self) -> bool:
        """Whether another request can be sent on it.

        What has come in a pause is its end, or what nobody asked for: of that the loop may not know yet.
        """
        return self.is_clean and not self._transport.is_closing() and not self._arrivals.poll(0)

    async def ask(self, request: Sequence[Body]) -> Answer:
        """Send a request and wait for the whole answer; who is cancelled leaves a closed connection.

        Raises:
            ConnectionError: it was lost before the answer was whole.
            NoAnswer: what came is not HTTP.
            AnswerTooLarge: its body is over the bound.
        """
        self.is_clean = False
        self._answer = Answer(self._max_bytes)
        self._told = self._loop.create_future()
        try:
            if self._transport.is_closing():
                raise ConnectionResetError("the connection was closed")
            self._transport.writelines(request)
            return await self._told
        finally:
            self._answer = self._told = None
            if not self.is_clean:
                self.drop()

    def drop(self) -> None:
        """Close it at once, with what is still to be sent."""
        self.is_clean = False
        self._transport.abort()

    def close(self) -> None:
        """Close it, while it is idle."""
        self.is_clean = False
        self._transport.close()

    def connection_made(self, transport: Any) -> None:
        """It is open."""
        self._transport = transport
        self._arrivals.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        self.is_clean = True

    def get_buffer(self, _sizehint: int) -> memoryview:
        """Where the next bytes belong."""
        return self._scratch if self._answer is None else self._answer.room(self._scratch)

    def buffer_updated(self, nbytes: int) -> None:
        """So many have come."""
        answer = self._answer
        if answer is None:
            self.drop()
            return
        try:
            answer.take(self._scratch, nbytes)
        except (NoAnswer, AnswerTooLarge) as error:
            self._fail(error)
        else:
            self._tell(answer)

    def eof_received(self) -> None:
        """Nothing more will come; the transport closes."""
        if self._answer is not None:
            self._answer.end()
            self._tell(self._answer)

    def connection_lost(self, exc: Exception | None) -> None:
        """It has ended."""
        self.is_clean = False
        self._fail(ConnectionResetError(str(exc or "the server closed the connection")))
        self._on_lost(self)

    def _tell(self, answer: Answer) -> None:
        told = self._told
        if not answer.is_whole or told is None:
            return
        self._answer = None
        self.is_clean = (
            answer.keeps_connection
            and answer.status != _FAILED
            and not self._may_be_unsent(answer.status)
        )
        if not told.done():
            told.set_result(answer)

    def _may_be_unsent(self, status: int) -> bool:
        """Whether a part of the request may not be on its way yet.

        TLS does not tell what it has encrypted and not sent. Who refuses may have done so before the end.
        """
        is_tls = self._transport.get_extra_info("ssl_object") is not None
        return (is_tls and status >= _REFUSED) or self._transport.get_write_buffer_size() > 0

    def _fail(self, error: Exception) -> None:
        self._answer = None
        if self._told is not None and not self._told.done():
            self._told.set_exception(error)
