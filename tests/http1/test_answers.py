"""Answers of applications that are careless: no client is told half of one, or two in one."""

from __future__ import annotations

from typing import Any

import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.http1.protocol import BoundedProtocol
from tests.http1.wire import App, Receive, Send, answer, piece, run, serving, start

BOTH = pytest.mark.parametrize("protocol", [BoundedProtocol, HttpToolsProtocol])
GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
LAST = b"GET /last HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"


def replies(protocol: type[HttpToolsProtocol], app: App, *parts: bytes) -> bytes:
    """All that comes back on one connection, until the server ends it."""
    got: list[bytes] = []

    async def scenario() -> None:
        async with serving(app, protocol) as listener:
            got.append(await listener.replies_to(*parts))

    run(scenario())
    return got[0]


@pytest.mark.parametrize("how", ["raises", "returns", "starts again"])
@pytest.mark.parametrize("length", [None, b"0", b"5"])
def test_an_answer_that_fails_after_its_head_is_500(how: str, length: bytes | None) -> None:
    headers = [] if length is None else [(b"content-length", length)]

    async def app(_scope: Any, _receive: Receive, send: Send) -> None:
        await send(start(200, headers))
        if how == "raises":
            raise ValueError("as arranged")
        if how == "starts again":
            await send(start(201, headers))
            await send(piece(b"fives"))

    said = replies(BoundedProtocol, app, GET)
    assert said.startswith(b"HTTP/1.1 500 ")
    assert said.count(b"HTTP/1.1") == 1


@BOTH
def test_headers_may_be_absent(protocol: type[HttpToolsProtocol]) -> None:
    async def app(_scope: Any, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send(piece(b"abc"))

    assert replies(protocol, app, GET + LAST).count(b"HTTP/1.1 200 OK\r\n") == 2


@BOTH
def test_headers_may_be_read_but_once(protocol: type[HttpToolsProtocol]) -> None:
    async def app(_scope: Any, _receive: Receive, send: Send) -> None:
        headers = iter([(b"x-a", b"1")])
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send(piece(b"abc"))

    assert replies(protocol, app, GET + LAST).count(b"x-a: 1\r\n") == 2


@BOTH
@pytest.mark.parametrize("name", [b"connection", b"Connection", b"CONNECTION"])
def test_connection_close_is_meant_in_capitals_too(
    protocol: type[HttpToolsProtocol], name: bytes
) -> None:
    async def app(_scope: Any, _receive: Receive, send: Send) -> None:
        await answer(send, b"abc", headers=[(name, b"close")])

    assert replies(protocol, app, GET + GET).count(b"HTTP/1.1") == 1


@BOTH
def test_chunks_are_promised_in_capitals_too(protocol: type[HttpToolsProtocol]) -> None:
    async def app(_scope: Any, _receive: Receive, send: Send) -> None:
        await answer(send, b"abc", headers=[(b"Transfer-Encoding", b"chunked")])

    assert b"\r\n\r\nabc" not in replies(protocol, app, GET + LAST)


@BOTH
@pytest.mark.parametrize("name", [b"content-length", b"Content-Length"])
def test_two_lengths_end_the_connection(protocol: type[HttpToolsProtocol], name: bytes) -> None:
    async def app(_scope: Any, _receive: Receive, send: Send) -> None:
        await send(start(200, [(name, b"7"), (b"content-length", b"3")]))
        await send(piece(b"abc"))

    assert replies(protocol, app, GET + GET).count(b"HTTP/1.1") <= 1


@BOTH
@pytest.mark.parametrize(
    "header", [(b"x", b"a\0b"), (b"x", b"a\x7fb"), (b"x y", b"a"), (b"x:y", b"a")]
)
def test_no_header_has_what_none_may_have(
    protocol: type[HttpToolsProtocol], header: tuple[bytes, bytes]
) -> None:
    async def app(_scope: Any, _receive: Receive, send: Send) -> None:
        await answer(send, b"abc", headers=[header])

    assert b"%b: %b" % header not in replies(protocol, app, GET + LAST)
