"""Requests with more than a request: a wish for another protocol, trailers, a proxy's address."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tests.fakes.gateways import until
from tests.http1.wire import Receive, Send, answer, body_of, run, serving

GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
WISH = (
    b"POST /a?b HTTP/1.1\r\nhost: x\r\nconnection: Upgrade, HTTP2-Settings\r\n"
    b"upgrade: h2c\r\nhttp2-settings: AAM\r\n"
)
LENGTH = (b"content-length: 27\r\n\r\n", b"GET /evil HTTP/1.1\r\nx: y\r\n\r")
CHUNKS = (b"transfer-encoding: chunked\r\n\r\n", b"1b\r\n" + LENGTH[1] + b"\r\n0\r\n\r\n")


async def echo(scope: Any, receive: Receive, send: Send) -> None:
    """What has been understood of the request."""
    body = await body_of(receive)
    names = [name.decode() for name, _ in scope["headers"]]
    await answer(send, orjson.dumps([scope["path"], body.decode(), names]))


@pytest.mark.parametrize("is_split", [False, True])
@pytest.mark.parametrize(("framing", "body"), [LENGTH, CHUNKS])
def test_who_wishes_to_upgrade_is_answered_as_any_other(
    framing: bytes, body: bytes, *, is_split: bool
) -> None:
    """Java's client asks so for HTTP/2 whenever it meets a new server; its body is no request."""

    async def scenario() -> None:
        async with serving(echo) as listener, listener.connected() as client:
            for _ in range(2):
                await client.send(WISH + framing + (b"" if is_split else body))
                if is_split:
                    await until(lambda: bool(listener.state.tasks))
                    await client.send(body)
                status, said = await client.answer()
                path, understood, names = orjson.loads(said)
                assert (status, path, understood) == (200, "/a", LENGTH[1].decode())
                assert names[:3] == ["host", "connection", "http2-settings"]
                await client.send(GET)
                assert (await client.answer())[0] == 200
            assert listener.refusals == []
            assert listener.state.total_requests == 4

    run(scenario())


def test_a_request_behind_a_wish_to_upgrade_is_served() -> None:
    async def scenario() -> None:
        async with serving(echo) as listener, listener.connected() as client:
            await client.send(WISH.replace(b"POST", b"GET") + b"\r\n" + GET)
            assert [(await client.answer())[0] for _ in range(2)] == [200, 200]

    run(scenario())


@pytest.mark.parametrize("size", [10, 70_000])
def test_a_wish_to_upgrade_may_stand_behind_another_request(size: int) -> None:
    """However much is read at once, its body is its own, and no part of it is a request."""
    evil = b"DELETE /evil HTTP/1.1\r\nhost: x\r\n\r\n"
    body = b"z" * size + evil
    request = WISH + b"content-length: %d\r\n\r\n%b" % (len(body), body)

    async def scenario() -> None:
        async with serving(echo) as listener, listener.connected() as client:
            await client.send(GET + request + GET)
            said = [orjson.loads((await client.answer())[1]) for _ in range(3)]
            assert [path for path, _, _ in said] == ["/", "/a", "/"]
            assert said[1][1] == body.decode()
            assert listener.state.total_requests == 3

    run(scenario())


def test_a_tunnel_is_refused() -> None:
    async def scenario() -> None:
        async with serving(echo) as listener:
            said = await listener.replies_to(b"CONNECT x:80 HTTP/1.1\r\nhost: x\r\n\r\n" + GET)
            assert said.startswith(b"HTTP/1.1 400 ")
            assert said.count(b"HTTP/1.1") == 1
            assert listener.refusals == ["invalid_request"]

    run(scenario())


def test_trailers_are_no_headers() -> None:
    async def scenario() -> None:
        head = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
        async with serving(echo) as listener, listener.connected() as client:
            await client.send(head + b"3\r\nabc\r\n0\r\nx-evil: 1\r\n\r\n" + GET)
            said = orjson.loads((await client.answer())[1])
            assert said == ["/", "abc", ["host", "transfer-encoding"]]
            assert orjson.loads((await client.answer())[1]) == ["/", "", ["host"]]

    run(scenario())


def test_a_proxys_address_may_end_with_its_host() -> None:
    async def scenario() -> None:
        async with serving(echo) as listener, listener.connected() as client:
            await client.send(GET.replace(b"/ ", b"http://h ", 1))
            assert orjson.loads((await client.answer())[1])[0] == "/"

    run(scenario())
