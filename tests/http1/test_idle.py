"""Connections on which nothing happens any more are closed, whatever their clients did before."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes.gateways import until
from tests.http1.wire import Receive, Send, answer, run, serving

GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
KEEP_ALIVE_S = 0.2


async def ok(_scope: Any, _receive: Receive, send: Send) -> None:
    await answer(send, b"ok")


async def large(_scope: Any, _receive: Receive, send: Send) -> None:
    await answer(send, b"a" * 50_000_000)


@pytest.mark.parametrize(
    ("request_", "after"),
    [(GET, b"\r\n"), (b"POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\n", b"late body")],
)
def test_bytes_that_are_no_request_keep_no_connection(request_: bytes, after: bytes) -> None:
    async def scenario() -> None:
        async with (
            serving(ok, keep_alive_s=KEEP_ALIVE_S) as listener,
            listener.connected() as client,
        ):
            await client.send(request_)
            await client.answer()
            await client.send(after)
            assert await client.rest() == b""
            assert listener.refusals == []

    run(scenario())


def test_a_connection_without_a_request_is_closed() -> None:
    async def scenario() -> None:
        async with (
            serving(ok, keep_alive_s=KEEP_ALIVE_S) as listener,
            listener.connected() as client,
        ):
            assert await client.rest() == b""

    run(scenario())


@pytest.mark.parametrize(
    "asked", [GET, GET * 3, GET.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")]
)
def test_who_never_reads_an_answer_is_cut_off(asked: bytes) -> None:
    async def scenario() -> None:
        async with (
            serving(large, keep_alive_s=KEEP_ALIVE_S) as listener,
            listener.connected(receive_buffer=4096) as client,
        ):
            await client.send(asked)
            await client.head()
            await until(lambda: not listener.state.connections and not listener.state.tasks)

    run(scenario())


def test_who_reads_slowly_is_not_cut_off() -> None:
    async def scenario() -> None:
        async with serving(large) as listener, listener.connected() as client:
            await client.send(GET)
            await client.head()
            connection = listener.connection
            transport = connection.transport
            await until(lambda: transport.get_write_buffer_size() > 0)
            connection._idle_since -= 1000
            for _ in range(3):
                before = transport.get_write_buffer_size()
                connection._close_if_idle()
                while transport.get_write_buffer_size() == before:
                    await client.reader.read(2**20)
            assert not transport.is_closing()

    run(scenario())
