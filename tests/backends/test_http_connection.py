"""Connections to a server that leaves, or whose caller does: which of them are used again, on either event loop."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from gateway.backends.http_connection import Connection
from gateway.backends.http_connections import Connections
from gateway.backends.http_link import HttpLink
from gateway.errors import BackendUnavailable
from tests.backends.http_server import Certificates, serving_http
from tests.backends.http_talk import END, LARGE, LIMIT, OK, Run, link_to, soon


@pytest.mark.parametrize(("method", "seen"), [("GET", [0, 0, 1]), ("POST", [0, 0])])
def test_only_a_question_is_asked_again(run: Run, method: Any, seen: list[int]) -> None:
    """A server that leaves a kept connection may have begun what it was sent."""
    asked: list[int] = []

    async def leave(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> None:
        for _ in range(2):
            await reader.readuntil(END)
            asked.append(number)
            if len(asked) == 2:
                return
            writer.write(OK)

    async def story() -> None:
        async with link_to(leave) as link:
            await link.ask(method, "/", soon())
            if method == "GET":
                assert (await link.ask(method, "/", soon())).body == b"ok"
            else:
                with pytest.raises(BackendUnavailable):
                    await link.ask(method, "/", soon())

    run(story())
    assert asked == seen


def test_a_new_connection_that_is_lost_is_not_tried_again(run: Run) -> None:
    numbers: list[int] = []

    async def leave(
        reader: asyncio.StreamReader, _writer: asyncio.StreamWriter, number: int
    ) -> None:
        await reader.readuntil(END)
        numbers.append(number)

    async def story() -> None:
        async with link_to(leave) as link:
            with pytest.raises(BackendUnavailable):
                await link.ask("GET", "/", soon())

    run(story())
    assert numbers == [0]


def test_who_leaves_closes_the_connection(run: Run) -> None:
    """The server learns of it, and the next caller has a new one."""
    has_asked, has_closed = asyncio.Event(), asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        await reader.readuntil(END)
        if number:
            writer.write(OK)
            await reader.read()
            return
        has_asked.set()
        try:
            await reader.read()
        finally:
            has_closed.set()

    async def story() -> None:
        async with link_to(hang) as link, asyncio.timeout(20):
            async with asyncio.TaskGroup() as group:
                asking = group.create_task(link.ask("POST", "/", soon()))
                await has_asked.wait()
                asking.cancel()
            await has_closed.wait()
            assert (await link.ask("POST", "/", soon())).body == b"ok"

    run(story())


def test_a_link_that_is_closed_fails_what_is_in_flight(run: Run) -> None:
    async def story() -> None:
        has_asked = asyncio.Event()

        async def hang(
            reader: asyncio.StreamReader, _writer: asyncio.StreamWriter, _number: int
        ) -> None:
            await reader.readuntil(END)
            has_asked.set()
            await reader.read()

        async with link_to(hang) as link, asyncio.TaskGroup() as group:

            async def ask() -> None:
                with pytest.raises(BackendUnavailable):
                    await link.ask("POST", "/", soon())

            group.create_task(ask())
            await has_asked.wait()
            await link.aclose()

    run(story())


def test_a_connection_that_the_server_closes_is_not_usable(run: Run) -> None:
    """It is lost while it is idle: the next request goes elsewhere, whatever it is."""

    async def story() -> None:
        async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(END)
            writer.write(OK)
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(once, "127.0.0.1", 0)
        loop = asyncio.get_running_loop()
        lost: asyncio.Future[Connection] = loop.create_future()
        async with server, asyncio.timeout(20):
            _, connection = await loop.create_connection(
                lambda: Connection(memoryview(bytearray(100)), 100, on_lost=lost.set_result),
                *server.sockets[0].getsockname(),
            )
            answer = await connection.ask([b"GET / HTTP/1.1\r\n\r\n"])
            assert answer.body == b"ok"
            assert await lost is connection
            assert not connection.is_usable
            with pytest.raises(ConnectionError):
                await connection.ask([b"GET / HTTP/1.1\r\n\r\n"])

    run(story())


def test_who_closes_behind_an_answer_is_not_asked_there_again(run: Run) -> None:
    """Even before the loop has learnt of it."""

    async def once(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _number: int
    ) -> None:
        await reader.readuntil(END)
        with socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno())) as sock:
            sock.send(OK)
            sock.shutdown(socket.SHUT_WR)
        await reader.read()

    async def story() -> None:
        async with link_to(once) as link:
            for _ in range(20):
                assert (await link.ask("POST", "/", soon())).body == b"ok"

    run(story())


def test_a_server_that_failed_is_asked_on_a_new_connection(run: Run) -> None:
    """It may close the one behind its answer, and nobody would know whether it has begun the next request."""
    asked: list[int] = []

    async def fail(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        while True:
            await reader.readuntil(END)
            asked.append(number)
            writer.write(b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n" if number == 0 else OK)

    async def story() -> None:
        async with link_to(fail) as link:
            statuses = [(await link.ask("POST", "/", soon())).status for _ in range(3)]
            assert statuses == [500, 200, 200]

    run(story())
    assert asked == [0, 1, 1]


def test_an_idle_connection_is_closed_in_time(run: Run) -> None:
    """Nobody needs to ask for another one."""

    async def story() -> None:
        has_closed = asyncio.Event()

        async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            has_closed.set()
            writer.close()

        server = await asyncio.start_server(wait, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server, asyncio.timeout(20):
            connections = Connections(f"127.0.0.1:{port}", max_bytes=1, keep_idle_s=0.01)
            connection = await connections.open()
            connections.give_back(connection)
            assert repr(connections).endswith("1 open, 1 idle)")
            await has_closed.wait()
            assert connections.take_idle() is None
            await connections.aclose()

    run(story())


@pytest.mark.parametrize("address", ["127.0.0.1:http", "127.0.0.1:99999", "[::1", ":"])
def test_an_address_that_is_none_is_told(run: Run, address: str) -> None:
    async def story() -> None:
        link = HttpLink("pt", address, max_message_bytes=1)
        with pytest.raises(BackendUnavailable, match="cannot be reached"):
            await link.ask("GET", "/", soon())
        await link.aclose()

    run(story())


def test_large_bodies_both_ways_over_tls_and_sockets(
    run: Run, pems: Certificates, tmp_path: Path
) -> None:
    """More than any buffer on the way has room for, and twice, on the same connection."""

    async def echo(request: web.Request) -> web.Response:
        return web.Response(body=await request.read())

    async def story() -> None:
        pieces: list[bytes | memoryview] = [b"{}", memoryview(LARGE), memoryview(LARGE * 8)]
        for tls, served in ((None, None), (pems.trusted(), pems.served())):
            for unix in (None, tmp_path / ("plain" if tls is None else "tls")):
                async with serving_http({"POST /": echo}, unix=unix, tls=served) as address:
                    link = HttpLink("pt", address, max_message_bytes=LIMIT, tls=tls)
                    for _ in range(2):
                        reply = await link.ask("POST", "/", soon(), body=pieces)
                        assert reply.content == b"{}" + LARGE * 9
                    await link.aclose()

    run(story())
