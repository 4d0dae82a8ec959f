"""Answers read piece by piece: every cut gives the same, and no bytes give anything but an answer or a complaint."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.backends.http_answer import (
    MAX_HEAD_BYTES,
    PLACED_BYTES,
    Answer,
    AnswerTooLarge,
    NoAnswer,
)

BOUND = 4 * PLACED_BYTES
SCRATCH = memoryview(bytearray(MAX_HEAD_BYTES))
LARGE = bytes(range(256)) * (PLACED_BYTES // 256 + 1)


def head(*lines: str, status: str = "200 OK") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode()


CHUNKED = head("Transfer-Encoding: chunked")
PLAIN = head("X-Empty:", "Content-Length: 5", "X-Got:  7 ") + b"hello"
PLACED = head(f"Content-Length: {len(LARGE)}") + LARGE
IN_CHUNKS = CHUNKED + b"2;a=b\r\nhe\r\n3\r\nllo\r\n0\r\nX-Late: 1\r\n\r\n"
INTERIM = head("X-Early: 1", status="103 Early Hints") + head(status="100 Continue")


def read(*pieces: bytes, max_bytes: int = BOUND) -> Answer:
    """Each piece in as many reads as there is room for."""
    answer = Answer(max_bytes)
    for piece in pieces:
        rest = piece
        while rest:
            room = answer.room(SCRATCH)
            size = min(len(room), len(rest))
            room[:size] = rest[:size]
            rest = rest[size:]
            answer.take(SCRATCH, size)
            if answer.is_whole:
                break
    return answer


@pytest.mark.parametrize("before", [b"", INTERIM], ids=["at once", "after interim ones"])
@pytest.mark.parametrize(
    ("said", "body"),
    [(PLAIN, b"hello"), (PLACED, LARGE), (IN_CHUNKS, b"hello")],
    ids=["plain", "placed", "in chunks"],
)
def test_every_cut_gives_the_same_answer(before: bytes, said: bytes, body: bytes) -> None:
    """Interim answers are dropped with their headers, trailers are no headers."""
    whole = before + said
    early = min(len(whole), 200)
    cuts = [[whole[:at], whole[at:]] for at in range(early + 1)]
    byte_by_byte = [*(bytes([byte]) for byte in whole[:early]), whole[early:]]
    for pieces in (*cuts, byte_by_byte):
        answer = read(*pieces)
        assert (answer.is_whole, answer.status, bytes(answer.body)) == (True, 200, body)
        assert answer.keeps_connection
        assert not {"x-early", "x-late"} & set(answer.headers)
        assert answer.headers.get("x-got", "7") == "7"


@pytest.mark.parametrize("said", [PLAIN, PLACED, IN_CHUNKS], ids=["plain", "placed", "in chunks"])
def test_what_breaks_off_is_never_whole(said: bytes) -> None:
    for at in (*range(min(len(said), 200)), len(said) - 1):
        answer = read(said[:at])
        answer.end()
        assert not answer.is_whole


def test_a_large_body_is_received_in_its_place() -> None:
    """And only such a body, so that an error's text is always bytes."""
    body = read(PLACED).body
    assert isinstance(body, memoryview)
    assert body.readonly
    refused = head(f"Content-Length: {len(LARGE)}", status="500 No") + LARGE
    assert isinstance(read(refused).body, bytes)


@pytest.mark.parametrize(
    ("said", "body"),
    [
        (head() + b"until the end", b"until the end"),
        (head("Transfer-Encoding: gzip") + b"coded", b"coded"),
        (b"HTTP/1.0 200 OK\r\n\r\nold", b"old"),
        (head(), b""),
    ],
)
def test_a_body_without_a_length_ends_with_the_connection(said: bytes, body: bytes) -> None:
    answer = read(said)
    assert not answer.is_whole
    answer.end()
    assert (answer.is_whole, answer.body, answer.keeps_connection) == (True, body, False)


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_some_answers_have_no_body(status: str) -> None:
    """Whatever length they name."""
    answer = read(head("Content-Length: 70000", status=status))
    assert (answer.is_whole, answer.body) == (True, b"")


@pytest.mark.parametrize(
    "said",
    [
        head("Connection: close", "Content-Length: 0"),
        b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        PLAIN + PLAIN,
        PLAIN + b"garbage",
    ],
)
def test_a_connection_that_is_not_used_again(said: bytes) -> None:
    """Its server says so, or has said more than it was asked."""
    answer = read(said)
    assert (answer.is_whole, answer.status, answer.keeps_connection) == (True, 200, False)


@pytest.mark.parametrize(
    "said",
    [
        b"220 smtp.test ESMTP\r\n",
        b"HTTP/2.7 200 OK\r\n\r\n",
        head("Content-Length: 5", "Content-Length: 6"),
        head("Content-Length: -5"),
        head("Content-Length: +5"),
        head("Content-Length: 5 5"),
        head("Content-Length: 99999999999999999999999"),
        head("Content-Length: 5", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
        CHUNKED + b"-1\r\n",
        CHUNKED + b"fffffffffffffffff\r\n",
        CHUNKED + b"2\r\nhello\r\n",
        head("Name : space"),
        head("Upgrade: h2c", "Connection: Upgrade", status="101 Switching Protocols"),
        head(status="101 Switching Protocols"),
    ],
)
def test_what_is_no_http_is_told(said: bytes) -> None:
    with pytest.raises(NoAnswer):
        read(said)


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"X-More: 1\r\n"),
        (b"HTTP/1.1 200 OK\r\nX-Long: ", b"x" * 100),
        (b"HTTP/1.1 200 ", b"so good " * 10),
        (b"", head(status="100 Continue")),
        (CHUNKED + b"2;", b"extension" * 10),
        (CHUNKED + b"0\r\n", b"X-Late: 1\r\n"),
        (CHUNKED + b"0\r\nX-Late: ", b"1" * 100),
        (b"", b"\r\n"),
    ],
)
def test_what_is_no_body_is_bounded(begin: bytes, more: bytes) -> None:
    """However it is made to go on for ever."""
    with pytest.raises(NoAnswer):
        read(begin, *[more] * (MAX_HEAD_BYTES // len(more) + 2))


def test_many_chunks_are_no_head() -> None:
    """The frames of a body in small chunks may be larger than a head."""
    count = MAX_HEAD_BYTES // 4
    answer = read(CHUNKED, *[b"1\r\nx\r\n" * 10] * (count // 10), b"0\r\n\r\n")
    assert answer.body == b"x" * (count // 10 * 10)


@pytest.mark.parametrize("size", [0, 10, BOUND])
def test_the_bound_of_a_body(size: int) -> None:
    """A declared one is refused before it comes; neither more nor less than the bound is taken."""
    body = b"x" * size
    declared = head(f"Content-Length: {size}")
    in_chunks = CHUNKED + (b"%x\r\n%b\r\n" % (size, body) if size else b"") + b"0\r\n\r\n"
    for said in (declared + body, in_chunks):
        assert bytes(read(said, max_bytes=size).body) == body
    if size:
        for said in (declared, CHUNKED + b"%x\r\n%b" % (size, body), head() + body):
            with pytest.raises(AnswerTooLarge):
                read(said, max_bytes=size - 1)


@given(st.lists(st.binary(max_size=200), max_size=4))
@example([PLAIN[:-3], b"\0" * 3])
@example([CHUNKED, b"\xff"])
def test_any_bytes_give_an_answer_or_a_complaint(pieces: list[bytes]) -> None:
    """After a good beginning, too."""
    for begin in (b"", b"HTTP/1.1 ", b"HTTP/1.1 200 OK\r\n", CHUNKED, PLAIN):
        try:
            answer = read(begin, *pieces, max_bytes=300)
        except (NoAnswer, AnswerTooLarge):
            continue
        assert len(answer.body) <= 300
