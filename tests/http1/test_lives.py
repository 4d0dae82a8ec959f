"""A connection's life: who waits for whom, for how long, with how much in memory, and how it ends."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.http1.protocol import BoundedProtocol
from tests.fakes.gateways import until
from tests.http1.wire import (
    Receive,
    Send,
    answer,
    body_of,
    piece,
    run,
    serving,
    start,
)

BOTH = pytest.mark.parametrize("protocol", [BoundedProtocol, HttpToolsProtocol])
GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
MIB = 2**20


async def ok(_scope: Any, _receive: Receive, send: Send) -> None:
    await answer(send, b"ok")


@BOTH
def test_a_body_waits_for_the_application_outside_of_memory(
    protocol: type[HttpToolsProtocol],
) -> None:
    may_read = asyncio.Event()

    async def app(_scope: Any, receive: Receive, send: Send) -> None:
        await may_read.wait()
        await answer(send, hashlib.sha256(await body_of(receive)).hexdigest().encode())

    async def scenario() -> None:
        body = bytes(range(256)) * (64 * MIB // 256)
        async with serving(app, protocol) as listener, listener.connected() as client:
            head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body)
            async with asyncio.TaskGroup() as group:
                sent = group.create_task(client.send(head, body))
                await until(lambda: bool(listener.state.tasks))
                connection = listener.connection
                await until(lambda: bool(connection.flow.read_paused))
                assert len(connection.cycle.body) <= MIB
                assert not sent.done()
                may_read.set()
                expected = hashlib.sha256(body).hexdigest().encode()
                assert await client.answer() == (200, expected)

    run(scenario())


@BOTH
@pytest.mark.parametrize("is_whole", [False, True])
def test_the_application_is_told_or_ended_when_its_client_leaves(
    protocol: type[HttpToolsProtocol], *, is_whole: bool
) -> None:
    heard: list[str] = []

    async def app(_scope: Any, receive: Receive, _send: Send) -> None:
        try:
            while True:
                message = await receive()
                heard.append(message["type"])
                if message["type"] == "http.disconnect":
                    return
        except asyncio.CancelledError:
            heard.append("http.disconnect")
            raise

    async def scenario() -> None:
        async with serving(app, protocol) as listener, listener.connected() as client:
            length = b"3" if is_whole else b"4"
            await client.send(b"POST / HTTP/1.1\r\ncontent-length: " + length + b"\r\n\r\nabc")
            await until(lambda: heard == ["http.request"])
            client.abort()
            await until(lambda: not listener.state.tasks)
            assert heard == ["http.request", "http.disconnect"]

    run(scenario())


@pytest.mark.parametrize(
    ("size", "resets"), [(1, False), (1, True), (MIB // 8, False), (MIB // 8, True), (MIB, True)]
)
def test_a_client_that_leaves_with_a_request_queued_ends_the_one_that_is_served(
    size: int, *, resets: bool
) -> None:
    """Also if no more of the queued one's body is read until its turn comes; an end behind it has to get through."""
    heard: list[str] = []

    async def app(scope: Any, receive: Receive, _send: Send) -> None:
        await body_of(receive)
        heard.append(scope["path"])
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            heard.append("cancelled")
            raise

    async def scenario() -> None:
        async with serving(app, BoundedProtocol) as listener, listener.connected() as client:
            await client.send(b"POST /first HTTP/1.1\r\ncontent-length: 1\r\n\r\na")
            await until(lambda: heard == ["/first"])
            head = b"POST /second HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % size
            client.writer.write(head + b"a" * size)
            connection = listener.connection
            await until(lambda: len(connection.pipeline) == 1)
            await until(lambda: bool(connection.flow.read_paused) == (size > 1))
            if resets:
                client.reset()
            else:
                client.abort()
            await until(lambda: not listener.state.tasks)
            assert heard == ["/first", "cancelled"]

    run(scenario())


def test_a_body_that_waited_for_its_turn_arrives_whole() -> None:
    """However often reading stopped and went on."""
    gate = asyncio.Event()

    async def app(_scope: Any, receive: Receive, send: Send) -> None:
        body = await body_of(receive)
        await gate.wait()
        await answer(send, b"%d" % len(body))

    async def scenario() -> None:
        head = b"POST / HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % MIB
        async with (
            serving(app) as listener,
            listener.connected() as client,
            asyncio.TaskGroup() as group,
        ):
            group.create_task(client.send(*[head + b"a" * MIB] * 3))
            await until(lambda: bool(listener.state.connections))
            connection = listener.connection
            await until(lambda: len(connection.pipeline) == 1 and connection.flow.read_paused)
            gate.set()
            for _ in range(3):
                assert await client.answer() == (200, b"%d" % MIB)

    run(scenario())


@BOTH
def test_receive_waits_after_the_body_was_told_whole(protocol: type[HttpToolsProtocol]) -> None:
    later: list[str] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await body_of(receive)
        if scope["path"] != "/waits":
            await answer(send, b"ok")
            return
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(receive())
            for _ in range(10):
                await asyncio.sleep(0)
            assert not waiting.done()
            await answer(send, b"waited")
            later.append((await waiting)["type"])
        later.append((await receive())["type"])

    async def scenario() -> None:
        async with serving(app, protocol) as listener, listener.connected() as client:
            await client.send(GET.replace(b"/ ", b"/waits ", 1))
            assert await client.answer() == (200, b"waited")
            await until(lambda: later == ["http.disconnect"] * 2)
            await client.send(GET)
            assert await client.answer() == (200, b"ok")

    run(scenario())


@pytest.mark.slow
@BOTH
def test_an_idle_connection_is_closed_and_a_busy_one_is_not(
    protocol: type[HttpToolsProtocol],
) -> None:
    keep_alive_s = 0.5

    async def app(scope: Any, _receive: Receive, send: Send) -> None:
        if scope["path"] == "/slow":
            await asyncio.sleep(1.5 * keep_alive_s)
        await answer(send, b"ok")

    async def scenario() -> None:
        async with (
            serving(app, protocol, keep_alive_s=keep_alive_s) as listener,
            listener.connected() as client,
        ):
            # The second is under way when the first's time is up; the third comes just after it.
            for path in (b"/", b"/slow", b"/", b"/slow"):
                await client.send(GET.replace(b"/", path, 1))
                assert await client.answer() == (200, b"ok")
            assert await client.rest() == b""
            await until(lambda: not listener.state.connections)

    run(scenario())


def test_the_time_of_an_idle_connection_begins_with_its_last_answer() -> None:
    async def scenario() -> None:
        async with serving(ok) as listener, listener.connected() as client:
            await client.send(GET)
            await client.answer()
            connection = listener.connection
            connection._close_if_idle()
            await client.send(GET)
            assert await client.answer() == (200, b"ok")
            connection._idle_since -= 75
            connection._close_if_idle()
            assert await client.rest() == b""

    run(scenario())


@BOTH
@pytest.mark.parametrize("in_pieces", [False, True])
def test_an_answer_waits_for_its_reader_and_loses_nothing(
    protocol: type[HttpToolsProtocol], *, in_pieces: bool
) -> None:
    size, step = 50 * MIB, 64 * 1024
    told: list[int] = []

    async def app(_scope: Any, receive: Receive, send: Send) -> None:
        await body_of(receive)
        if not in_pieces:
            await answer(send, b"a" * size)
            return
        await send(start(headers=[(b"content-length", b"%d" % size)]))
        for left in range(size - step, -1, -step):
            told.append(step)
            await send(piece(b"a" * step, more=left > 0))

    async def scenario() -> None:
        async with (
            serving(app, protocol) as listener,
            listener.connected(receive_buffer=64 * 1024) as client,
        ):
            await client.send(GET)
            await until(lambda: bool(listener.state.connections))
            connection = listener.connection
            await until(lambda: bool(connection.flow.write_paused))
            if in_pieces:
                assert sum(told) < size // 2
                assert connection.transport.get_write_buffer_size() < MIB
            await client.send(GET)  # its answer has to wait for room
            for _ in range(2):
                assert await client.answer() == (200, b"a" * size)

    run(scenario())
