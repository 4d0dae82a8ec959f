"""Requests and answers on the wire: as uvicorn's own protocol has them, whatever ours leaves out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import httptools
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.http1.protocol import BoundedProtocol
from tests.http1.wire import App, Receive, Send, answer, body_of, piece, run, serving, start

BOTH = pytest.mark.parametrize("protocol", [BoundedProtocol, HttpToolsProtocol])
GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
LAST = b"GET /last HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"


async def echo(scope: Any, receive: Receive, send: Send) -> None:
    """What has been understood of the request."""
    body = await body_of(receive)
    words = (scope["method"], scope["raw_path"].decode(), scope["query_string"].decode())
    understood = [*words, scope["path"], scope["http_version"], body.decode()]
    await answer(send, orjson.dumps(understood))


def replies_to_each(
    protocol: type[HttpToolsProtocol], app: App, conversations: Iterable[Sequence[bytes]]
) -> list[bytes]:
    """All that comes back on a connection for each, until the server ends it."""
    got: list[bytes] = []

    async def scenario() -> None:
        async with serving(app, protocol) as listener:
            got.extend([await listener.replies_to(*parts) for parts in conversations])

    run(scenario())
    return got


def replies(protocol: type[HttpToolsProtocol], app: App, *parts: bytes) -> bytes:
    """All that comes back on one connection, until the server ends it."""
    return replies_to_each(protocol, app, [parts])[0]


def echoed(protocol: type[HttpToolsProtocol], *parts: bytes) -> list[Any]:
    """What `echo` says of each request of a connection, in order; all must be answered 200."""
    return understood_in(replies(protocol, echo, *parts))


def understood_in(said: bytes) -> list[Any]:
    answers = [text.partition(b"\r\n\r\n") for text in said.split(b"HTTP/1.1 ")[1:]]
    assert {head[:3] for head, _, _ in answers} == {b"200"}
    return [orjson.loads(body) for _, _, body in answers]


@BOTH
def test_a_connection_is_used_again(protocol: type[HttpToolsProtocol]) -> None:
    async def scenario() -> None:
        async with serving(echo, protocol) as listener, listener.connected() as client:
            for path in (b"/a", b"/b", b"/c"):
                await client.send(GET.replace(b"/ ", path + b" "))
                status, body = await client.answer()
                assert (status, orjson.loads(body)[1]) == (200, path.decode())
            assert len(listener.state.connections) == 1
            assert listener.state.total_requests == 3

    run(scenario())


@BOTH
def test_pipelined_requests_are_answered_in_order(protocol: type[HttpToolsProtocol]) -> None:
    requests = [
        b"POST /%d HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (i, i, b"a" * i)
        for i in range(50)
    ]
    together = echoed(protocol, b"".join(requests) + LAST)
    assert [said[1] for said in together] == [*(f"/{i}" for i in range(50)), "/last"]
    assert [said[5] for said in together[:-1]] == ["a" * i for i in range(50)]


@BOTH
def test_nothing_after_the_last_request_is_read(protocol: type[HttpToolsProtocol]) -> None:
    assert [said[1] for said in echoed(protocol, LAST + GET)] == ["/last"]


@BOTH
def test_http_1_0_ends_with_its_answer(protocol: type[HttpToolsProtocol]) -> None:
    said = replies(protocol, echo, b"GET /old HTTP/1.0\r\nconnection: keep-alive\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nconnection: close\r\n" in said
    assert said.endswith(b'["GET","/old","","/old","1.0",""]')


@BOTH
def test_an_application_may_end_the_connection(protocol: type[HttpToolsProtocol]) -> None:
    async def app(_scope: Any, _receive: Receive, send: Send) -> None:
        await answer(send, b"bye", headers=[(b"connection", b"close")])

    said = replies(protocol, app, GET + GET)
    assert said == b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\nbye"


@BOTH
@pytest.mark.parametrize(
    ("method", "status", "head"),
    [
        (b"HEAD", 200, b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"),
        (b"GET", 204, b"HTTP/1.1 204 No Content\r\n\r\n"),
        (b"GET", 304, b"HTTP/1.1 304 Not Modified\r\n\r\n"),
    ],
)
def test_answers_without_a_body(
    protocol: type[HttpToolsProtocol], method: bytes, status: int, head: bytes
) -> None:
    async def app(scope: Any, _receive: Receive, send: Send) -> None:
        if scope["path"] == "/last":
            await answer(send, b"last")
        elif status == 200:
            await answer(send, b"five!")
        else:
            await send(start(status))
            await send(piece())

    said = replies(protocol, app, GET.replace(b"GET", method) + LAST)
    assert said.startswith(head + b"HTTP/1.1 200 OK\r\n")
    assert said.endswith(b"\r\n\r\nlast")


@BOTH
def test_an_answer_in_pieces(protocol: type[HttpToolsProtocol]) -> None:
    async def app(scope: Any, _receive: Receive, send: Send) -> None:
        known = [(b"content-length", b"6")] if scope["path"] == "/last" else []
        await send(start(headers=known))
        for part in (b"ab", b"", b"cdef"):
            await send(piece(part, more=True))
        await send(piece())

    assert replies(protocol, app, GET + LAST) == (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
        b"2\r\nab\r\n4\r\ncdef\r\n0\r\n\r\n"
        b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\nabcdef"
    )


@BOTH
def test_a_whole_answer_of_unknown_length_is_chunked(protocol: type[HttpToolsProtocol]) -> None:
    async def app(_scope: Any, _receive: Receive, send: Send) -> None:
        await send(start())
        await send(piece(b"abc"))

    assert replies(protocol, app, GET + LAST).startswith(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
    )


@BOTH
@pytest.mark.parametrize("declared", [b"2", b"4"])
def test_a_wrong_content_length_ends_the_connection(
    protocol: type[HttpToolsProtocol], declared: bytes
) -> None:
    async def app(_scope: Any, _receive: Receive, send: Send) -> None:
        await send(start(headers=[(b"content-length", declared)]))
        await send(piece(b"abc"))

    said = replies(protocol, app, GET + GET)
    assert said.count(b"HTTP/1.1") == 1
    assert said.partition(b"\r\n\r\n")[2] in (b"", b"abc")


EVIL = [b"a\r\nx-evil: 1", b"a\nx-evil: 1", b"a\rx-evil: 1", b"a\r\n\r\nHTTP/1.1 200 OK"]


@BOTH
def test_no_header_breaks_out_of_its_line(protocol: type[HttpToolsProtocol]) -> None:
    async def app(scope: Any, _receive: Receive, send: Send) -> None:
        kind, _, index = scope["path"][1:].partition("/")
        evil = EVIL[int(index)]
        await answer(send, b"abc", headers=[(evil, b"a") if kind == "name" else (b"x-kind", evil)])

    for kind in (b"name", b"value"):
        asked = [GET.replace(b"/ ", b"/%b/%d " % (kind, i), 1) for i in range(len(EVIL))]
        for said in replies_to_each(protocol, app, [[request + GET] for request in asked]):
            assert b"x-evil" not in said
            assert said.count(b"HTTP/1.1 ") <= 1


@BOTH
def test_who_expects_to_be_told_to_continue_is_told(protocol: type[HttpToolsProtocol]) -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        if scope["path"] != "/refused":
            await body_of(receive)
        await answer(send, b"ok")

    async def scenario() -> None:
        ask = b"POST /%b HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n"
        async with serving(app, protocol) as listener, listener.connected() as client:
            await client.send(ask % b"taken")
            assert await client.head() == b"HTTP/1.1 100 Continue\r\n\r\n"
            await client.send(b"abc")
            assert await client.answer() == (200, b"ok")
            await client.send(ask % b"refused")
            assert await client.answer() == (200, b"ok")

    run(scenario())


@BOTH
def test_a_body_in_many_pieces(protocol: type[HttpToolsProtocol]) -> None:
    body = bytes(range(97, 123)) * 20
    head = b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
    octets = [bytes([octet]) for octet in head % len(body) + body]
    assert echoed(protocol, *octets)[0][5] == body.decode()


@BOTH
def test_chunked_bodies(protocol: type[HttpToolsProtocol]) -> None:
    chunks = [b"3;x=y\r\nabc\r\n", b"0a\r\n", b"0123", b"456789\r", b"\n0\r\n", b"\r\n", LAST]
    apart = echoed(protocol, CHUNKED, *chunks)
    assert apart == echoed(protocol, CHUNKED + b"".join(chunks))
    assert [said[5] for said in apart] == ["abc0123456789", ""]


URLS = [
    *("/", "/a", "/a?", "/a?b", "/a?b?c=/d", "//a//b", "/a#f", "/a?b#f", "*", "/a;b=c", "/a?%41"),
    *("/%41%2F%C3%A9%zz%", "http://h/", "http://h:1/a%20b?c#d", "/a:b@c"),
]


def test_addresses_are_understood_as_uvicorn_does() -> None:
    conversations = [[LAST.replace(b"/last", url.encode())] for url in URLS]
    ours = replies_to_each(BoundedProtocol, echo, conversations)
    assert ours == replies_to_each(HttpToolsProtocol, echo, conversations)
    assert [len(understood_in(said)) for said in ours] == [1] * len(URLS)


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="#")))
@example("?")
@example("a?b?c")
@example("//h/p?q")
def test_splitting_at_the_question_mark_is_what_the_general_parser_does(rest: str) -> None:
    url = b"/" + rest.encode()
    path, _, query = url.partition(b"?")
    parsed = httptools.parse_url(url)
    assert (parsed.path, parsed.query or b"") == (path, query)


HOST = b"POST / HTTP/1.1\r\nhost: x\r\n"


TWO_FACED = [
    b"\x16\x03\x01\x02\x00\x01\x00",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"get / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\nhost: x\n\n",
    "GET /é HTTP/1.1\r\n\r\n".encode(),
    b"GET /a\0b HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nx: a\0b\r\n\r\n",
    b"GET / HTTP/1.1\r\nx: a\r\n folded\r\n\r\n",
    HOST + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n" + GET,
    HOST + b"transfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n0\r\n\r\n" + GET,
    HOST + b"content-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
    HOST + b"content-length: 3, 3\r\n\r\nabc",
    HOST + b"content-length: +3\r\n\r\nabc",
    HOST + b"content-length : 3\r\n\r\nabc",
    HOST + b"content-length: 99999999999999999999999\r\n\r\nabc",
    HOST + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
    HOST + b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    HOST + b"transfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
]


@BOTH
def test_what_could_be_understood_in_two_ways_is_refused(
    protocol: type[HttpToolsProtocol],
) -> None:
    conversations = [[before + sent] for sent in TWO_FACED for before in (b"", b"\r\n")]
    for parts, said in zip(
        conversations, replies_to_each(protocol, echo, conversations), strict=True
    ):
        assert said.startswith(b"HTTP/1.1 400 "), parts
        assert said.count(b"HTTP/1.1") == 1, parts


@BOTH
def test_a_broken_chunk_ends_the_connection(protocol: type[HttpToolsProtocol]) -> None:
    broken = [b"zz\r\n", b"3\r\nabcd\r\n", b"3\nabc\n0\n\n", b"-1\r\n"]
    conversations = [[CHUNKED, chunk + GET] for chunk in broken]
    for said in replies_to_each(protocol, echo, conversations):
        assert said.startswith(b"HTTP/1.1 400 ")
        assert said.count(b"HTTP/1.1") == 1
