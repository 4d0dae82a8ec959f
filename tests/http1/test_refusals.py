"""A refusal is the answer to what was refused: never to a request before it, and nothing follows it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.http1.protocol import BoundedProtocol
from tests.fakes.gateways import until
from tests.http1.wire import Receive, Send, answer, body_of, run, serving

BOTH = pytest.mark.parametrize("protocol", [BoundedProtocol, HttpToolsProtocol])
GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
BAD_ADDRESS = GET.replace(b"/ ", b"http://h:99999/ ", 1)
POST = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"


async def ok(_scope: Any, _receive: Receive, send: Send) -> None:
    await answer(send, b"ok")


@BOTH
def test_a_bad_address_is_refused_on_a_used_connection(protocol: type[HttpToolsProtocol]) -> None:
    async def scenario() -> None:
        async with serving(ok, protocol) as listener, listener.connected() as client:
            await client.send(GET)
            await client.answer()
            await client.send(BAD_ADDRESS)
            assert (await client.rest()).startswith(b"HTTP/1.1 400 ")

    run(scenario())


@pytest.mark.parametrize(
    ("refused", "status", "reason"),
    [
        (BAD_ADDRESS, b"400", "invalid_request"),
        (b"HELO\r\n", b"400", "invalid_request"),
        (CHUNKED + b"zz\r\n", b"400", "invalid_request"),
        (POST + b"abc", b"408", "deadline"),
        (b"GET / HT", b"408", "deadline"),
    ],
)
@pytest.mark.parametrize("waiting", [1, 2])
def test_a_refusal_waits_for_the_answers_before(
    refused: bytes, status: bytes, reason: str, waiting: int
) -> None:
    may_answer = asyncio.Event()

    async def app(_scope: Any, receive: Receive, send: Send) -> None:
        await body_of(receive)
        await may_answer.wait()
        await answer(send, b"ok")

    async def scenario() -> None:
        async with (
            serving(app, read_timeout_s=0.1) as listener,
            listener.connected() as client,
        ):
            await client.send(GET * waiting + refused)
            await until(lambda: bool(listener.refusals))
            may_answer.set()
            for _ in range(waiting):
                assert await client.answer() == (200, b"ok")
            assert (await client.rest()).startswith(b"HTTP/1.1 " + status)
            assert listener.refusals == [reason]
            assert listener.state.total_requests == waiting

    run(scenario())


def test_a_slow_application_is_not_its_client() -> None:
    body = b"a" * 2**24

    async def scenario() -> None:
        async def app(_scope: Any, receive: Receive, send: Send) -> None:
            connection = listener.connection
            await until(lambda: connection.flow.read_paused)
            timer = connection._timer
            await until(lambda: connection._timer is not timer)
            await answer(send, b"%d" % len(await body_of(receive)))

        head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body)
        async with (
            serving(app, read_timeout_s=0.2) as listener,
            listener.connected() as client,
            asyncio.TaskGroup() as group,
        ):
            group.create_task(client.send(head, body))
            assert await client.answer() == (200, b"%d" % len(body))

    run(scenario())


def test_nothing_follows_a_refusal() -> None:
    """An application that answers a request although it was refused: no client reads that."""

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        if scope["path"] == "/big":
            await answer(send, b"a" * 20_000_000)
            return
        while (await receive())["type"] != "http.disconnect":
            pass
        await answer(send, b"late")

    async def scenario() -> None:
        async with (
            serving(app, read_timeout_s=0.1) as listener,
            listener.connected(receive_buffer=4096) as client,
        ):
            await client.send(GET.replace(b"/ ", b"/big ", 1))
            await client.head()
            await client.send(POST + b"abc")
            connection = listener.connection
            await until(lambda: connection.transport.is_closing() and not listener.state.tasks)
            assert (await client.rest()).lstrip(b"a").startswith(b"HTTP/1.1 408 ")
            assert listener.refusals == []  # the application has seen it

    run(scenario())
