"""What has a server answered, by what has arrived so far?

No I/O. llhttp reads the grammar; here is what it leaves to its caller: bounds, and where a body is put.

Rules:
- An answer takes at most `MAX_HEAD_BYTES` that are no body, counted anew after each piece of one (interim
  answers, heads, the frame of chunks, trailers), and at most the caller's bound of body, declared or not.
- A large body of a declared length is received where it stays, and is never parsed.
- Interim answers (1xx) and trailers are dropped; there is no other protocol to switch to.
"""

from __future__ import annotations

from typing import TypeAlias

import httptools
import numpy as np

__all__ = ["MAX_HEAD_BYTES", "PLACED_BYTES", "Answer", "AnswerTooLarge", "Body", "NoAnswer"]

MAX_HEAD_BYTES = 64 * 1024
PLACED_BYTES = 64 * 1024
"""A smaller body comes in one piece, or nearly so."""

Body: TypeAlias = bytes | memoryview

_FINAL, _SWITCHING = 200, 101
_OK = 200


class NoAnswer(Exception):
    """What came is not HTTP."""


class AnswerTooLarge(Exception):
    """Its body is over the bound."""


class Answer:
    """One answer, as it arrives.

    Attributes:
        status: Its status, 0 until that is known.
        headers: Names in lower case; of those that are repeated, the last.
        is_whole: Whether it is complete.
        keeps_connection: Whether the server will answer more on the same connection.
    """

    # Invariants: `_placed` bytes of `_place` are body; where `_is_in_place`, only body is to come, as much
    # as there is room in it. `_bare_bytes` is what has arrived since the last of the body.

    def __init__(self, max_bytes: int) -> None:
        """Begin to read an answer with at most `max_bytes` of body."""
        self._parser = httptools.HttpResponseParser(self)
        self._max_bytes = max_bytes
        self.status = 0
        self.headers: dict[str, str] = {}
        self.is_whole = False
        self.keeps_connection = False
        self._has_head = False
        self._complaint: Exception | None = None
        self._bare_bytes = 0
        self._body: bytes | bytearray = b""
        self._place: memoryview | None = None
        self._placed = 0
        self._is_in_place = False

    @property
    def body(self) -> Body:
        """The body, a read-only view if it was received in its place."""
        if self._place is None:
            return bytes(self._body)
        return self._place[: self._placed].toreadonly()

    def room(self, scratch: memoryview) -> memoryview:
        """Where the next bytes belong: `scratch`, or the body's own place."""
        if self._is_in_place:
            assert self._place is not None, "that is what it says"
            return self._place[self._placed :]
        return scratch

    def take(self, room: memoryview, size: int) -> None:
        """Read the `size` bytes that have come to where `room` said; what follows the answer is not read.

        Raises:
            NoAnswer: they are no HTTP, or too many of them no body.
            AnswerTooLarge: there is, or will be, more body than the bound.
        """
        if self._is_in_place:
            self._placed += size
            self.is_whole = not self.room(room)
            return
        self._bare_bytes += size
        try:
            self._parser.feed_data(room[:size])
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self.is_whole:
                raise self._complaint or NoAnswer(str(error)) from error
            self.keeps_connection = False  # nobody asked for what follows
        if self.is_whole:
            return
        if self._bare_bytes > MAX_HEAD_BYTES:
            raise NoAnswer(f"more than {MAX_HEAD_BYTES} bytes of it are no body")
        self._is_in_place = self._place is not None

    def end(self) -> None:
        """Nothing more will come: the end of a body that says nothing else about its length."""
        if self._has_head and not self._is_framed():
            self.is_whole = True

    def on_message_begin(self) -> None:
        """The first byte of an answer, or of an interim one before it."""
        if self.is_whole:
            raise ValueError("nobody asked for a second one")  # it stops the parser

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer."""
        if not self._has_head:
            self.headers[name.decode("latin-1").lower()] = value.decode("latin-1").strip()

    def on_headers_complete(self) -> None:
        """The end of a head."""
        status = self._parser.get_status_code()
        if status < _FINAL:
            self.headers = {}
            if status == _SWITCHING:
                self._stop(NoAnswer("it switches to a protocol that nobody named"))
            return
        self.status = status
        self._has_head = True
        self.keeps_connection = self._parser.should_keep_alive()
        length = self._declared_bytes()
        self._check(length)
        if status == _OK and length >= PLACED_BYTES:
            self._place = np.empty(length, np.uint8).data  # bytearray would write zeros first

    def on_body(self, piece: bytes) -> None:
        """A piece of the body."""
        self._bare_bytes = 0
        if self._place is not None:
            self._place[self._placed : self._placed + len(piece)] = piece
            self._placed += len(piece)
            return
        self._check(len(self._body) + len(piece))
        if not self._body:
            self._body = piece
        elif isinstance(self._body, bytearray):
            self._body += piece
        else:
            self._body = bytearray(self._body + piece)

    def on_message_complete(self) -> None:
        """The end of an answer, or of an interim one."""
        self.is_whole = self._has_head

    def _declared_bytes(self) -> int:
        """The length of the body, 0 where it is told by its chunks or its end."""
        if "transfer-encoding" in self.headers:
            return 0
        return int(self.headers.get("content-length", "0"))  # digits, says the parser

    def _is_framed(self) -> bool:
        coding = self.headers.get("transfer-encoding")
        if coding is not None:
            return coding.lower().endswith("chunked")
        return "content-length" in self.headers

    def _check(self, size: int) -> None:
        if size > self._max_bytes:
            self._stop(AnswerTooLarge(f"more than {self._max_bytes} bytes"))

    def _stop(self, complaint: Exception) -> None:
        self._complaint = complaint
        raise complaint  # to the parser, which raises another
