"""Clients that send more than anybody asked for on one connection."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.http1.protocol import MAX_HEAD_BYTES
from tests.http1.wire import Client, Receive, Send, answer, body_of, run, serving

GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
MIB = 2**20


async def length(_scope: Any, receive: Receive, send: Send) -> None:
    await answer(send, b"%d" % len(await body_of(receive)))


def test_requests_that_wait_for_no_answer_may_be_many() -> None:
    """They arrive in large pieces, of which each ends somewhere in a head: no head is as large as that."""

    async def scenario() -> None:
        async with serving(length) as listener, listener.connected() as client:
            count = MIB // 2 // len(GET)
            async with asyncio.TaskGroup() as group:
                group.create_task(client.send(GET * count))
                for _ in range(count):
                    assert await client.answer() == (200, b"0")
            assert listener.refusals == []

    run(scenario())


def test_bodies_and_heads_that_share_a_piece_are_told_apart() -> None:
    async def scenario() -> None:
        body = b"a" * (2 * MAX_HEAD_BYTES)
        post = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
        async with serving(length) as listener, listener.connected() as client:
            await client.send(post[:100])
            await _turns(client)
            await client.send(post[100:] + GET[:9])
            await _turns(client)
            await client.send(GET[9:])
            assert [await client.answer(), await client.answer()] == [(200, b"131072"), (200, b"0")]
            assert listener.refusals == []

    run(scenario())


def test_an_endless_head_is_refused_after_other_requests_too() -> None:
    async def scenario() -> None:
        endless = [b"a" * (MAX_HEAD_BYTES // 2 + 1)] * 2
        async with serving(length) as listener, listener.connected() as client:
            await client.send(GET + b"GET / HTTP/1.1\r\nx: ")
            assert await client.answer() == (200, b"0")
            for piece in endless:
                await client.send(piece)
                await _turns(client)
            assert (await client.rest()).startswith(b"HTTP/1.1 431 ")
            assert listener.refusals == ["body_too_large"]

    run(scenario())


@pytest.mark.parametrize("before", [b"", GET])
def test_a_large_head_is_refused_in_however_few_pieces_it_comes(before: bytes) -> None:
    async def scenario() -> None:
        head = b"GET / HTTP/1.1\r\nhost: x\r\nx: %b\r\n\r\n" % (b"a" * (MAX_HEAD_BYTES + 1))
        async with serving(length) as listener, listener.connected() as client:
            await client.send(before + head)
            said = await client.rest()
            assert said.count(b"HTTP/1.1 200 ") == (1 if before else 0)
            assert said.count(b"HTTP/1.1 431 ") == 1
            assert listener.refusals == ["body_too_large"]

    run(scenario())


CHUNKED = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("begun", "endless"),
    [
        (b"0\r\n", b"a: b\r\n" * (MAX_HEAD_BYTES // 6 + 1)),
        (b"0\r\nx: ", b"a" * (MAX_HEAD_BYTES + 1)),
        (b"5;x=", b"a" * (MAX_HEAD_BYTES + 1)),
    ],
)
def test_endless_trailers_and_extensions_are_refused(begun: bytes, endless: bytes) -> None:
    """What comes after a body in chunks, or between its chunks, is no body and would be kept."""

    async def scenario() -> None:
        async with serving(length) as listener, listener.connected() as client:
            await client.send(CHUNKED + begun)
            await _turns(client)
            await client.send(endless)
            assert (await client.rest()).startswith(b"HTTP/1.1 431 ")

    run(scenario())


def test_few_requests_wait_in_memory() -> None:
    """One read may bring many; but while they wait, no more is read."""
    count = 40_000
    waiting: list[int] = []

    async def scenario() -> None:
        async def app(scope: Any, receive: Receive, send: Send) -> None:
            connection = listener.connection
            waiting.append(len(connection.pipeline))
            await length(scope, receive, send)

        async with (
            serving(app) as listener,
            listener.connected() as client,
            asyncio.TaskGroup() as group,
        ):
            group.create_task(client.send(GET * count))
            for _ in range(count):
                assert await client.answer() == (200, b"0")

    run(scenario())
    assert max(waiting) < 2 * 256 * 1024 // len(GET)


async def _turns(client: Client) -> None:
    """Let the server, which runs on this loop, read what was sent as a piece of its own."""
    assert not client.writer.is_closing()
    for _ in range(20):
        await asyncio.sleep(0)
