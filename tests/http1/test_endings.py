"""How connections end: by a server that stops, an application that fails, a client that is refused."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.http1.protocol import BoundedProtocol
from tests.fakes.gateways import until
from tests.http1.wire import Receive, Send, answer, body_of, piece, run, serving, start

BOTH = pytest.mark.parametrize("protocol", [BoundedProtocol, HttpToolsProtocol])
GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


async def ok(_scope: Any, _receive: Receive, send: Send) -> None:
    await answer(send, b"ok")


class Held:
    """An application that answers `ok` once it may."""

    def __init__(self) -> None:
        self.begun = 0
        self.may_answer = asyncio.Event()

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        self.begun += 1
        await body_of(receive)
        await self.may_answer.wait()
        await answer(send, scope["path"].encode())


@BOTH
def test_a_server_that_stops_answers_what_has_begun(protocol: type[HttpToolsProtocol]) -> None:
    async def scenario() -> None:
        app = Held()
        async with (
            serving(app, protocol) as listener,
            listener.connected() as idle,
            listener.connected() as busy,
            listener.connected() as half,
            asyncio.TaskGroup() as group,
        ):
            await busy.send(GET.replace(b"/ ", b"/1 ") + GET.replace(b"/ ", b"/2 "))
            await half.send(GET[:-2])
            await until(lambda: app.begun == 1 and len(listener.state.connections) == 3)
            stopped = group.create_task(listener.server.stop())
            assert await idle.rest() == b""
            assert await half.rest() == b""
            assert not stopped.done()
            app.may_answer.set()
            first = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n/1"
            last = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n/2"
            assert await busy.rest() == first + last
            with pytest.raises(ConnectionError):
                async with listener.connected():
                    pass

    run(scenario())


@BOTH
def test_a_server_that_stops_ends_an_answer_in_pieces(protocol: type[HttpToolsProtocol]) -> None:
    may_end = asyncio.Event()

    async def app(_scope: Any, _receive: Receive, send: Send) -> None:
        await send(start())
        await send(piece(b"abc", more=True))
        await may_end.wait()
        await send(piece(b"de"))

    async def scenario() -> None:
        async with (
            serving(app, protocol) as listener,
            listener.connected() as client,
            asyncio.TaskGroup() as group,
        ):
            await client.send(GET)
            assert await client.head() == (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            connection = listener.connection
            group.create_task(listener.server.stop())
            await until(lambda: not connection.cycle.keep_alive)
            may_end.set()
            assert await client.rest() == b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"

    run(scenario())


@BOTH
def test_an_application_that_fails_is_answered_for(protocol: type[HttpToolsProtocol]) -> None:
    async def app(scope: Any, _receive: Receive, send: Send) -> None:
        if scope["path"] == "/late":
            await send(start())
            await send(piece(b"abc", more=True))
        if scope["path"] != "/returns":
            raise ValueError("as arranged")

    async def scenario() -> None:
        async with serving(app, protocol) as listener:
            for path in (b"/", b"/returns"):
                said = await listener.replies_to(GET.replace(b"/ ", path + b" ", 1) + GET)
                assert said.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
                assert said.endswith(b"\r\nconnection: close\r\n\r\nInternal Server Error")
            said = await listener.replies_to(GET.replace(b"/ ", b"/late ", 1) + GET)
            assert said.endswith(b"\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")

    run(scenario())


def test_what_is_refused_before_an_application_saw_it_is_told_once() -> None:
    async def scenario() -> None:
        async with serving(ok, read_timeout_s=0.1) as listener:
            for sent, status in [(b"HELO\r\n", b"400"), (GET[:9], b"408"), (b"GE", b"408")]:
                assert (await listener.replies_to(sent)).startswith(b"HTTP/1.1 " + status)
                async with listener.connected() as client:
                    await client.send(GET)
                    assert await client.answer() == (200, b"ok")
                    await client.send(sent)
                    assert (await client.rest()).startswith(b"HTTP/1.1 " + status)
            endless = [GET[:-2], b"x: ", b"a" * 40_000, b"a" * 40_000]
            assert (await listener.replies_to(*endless)).startswith(b"HTTP/1.1 431 ")
            assert listener.refusals == [
                *["invalid_request", "invalid_request", *["deadline"] * 4],
                "body_too_large",
            ]

    run(scenario())


def test_a_long_head_within_the_bound_is_served() -> None:
    async def scenario() -> None:
        async with serving(ok) as listener, listener.connected() as client:
            for _ in range(3):
                await client.send(GET[:-2], b"x: " + b"a" * 30_000, b"b" * 30_000, b"\r\n\r\n")
                assert await client.answer() == (200, b"ok")

    run(scenario())
