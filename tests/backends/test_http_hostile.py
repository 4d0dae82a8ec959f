"""A server that says whatever it likes: what its backend's link makes of it, on either event loop."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import BackendInvalid, BackendRefused, BackendUnavailable
from tests.backends.http_server import Certificates
from tests.backends.http_talk import END, LARGE, LIMIT, OK, Run, Talk, link_to, soon


def saying(said: bytes) -> Talk:
    """A server that answers each request so, and waits for the next."""

    async def talk(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _number: int
    ) -> None:
        while True:
            await reader.readuntil(END)
            writer.write(said)
            await writer.drain()

    return talk


def once(*said: bytes) -> Talk:
    """A server that answers one request with all of this and the end of the connection."""

    async def talk(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _number: int
    ) -> None:
        await reader.readuntil(END)
        for piece in said:
            writer.write(piece)
            await writer.drain()
        writer.write_eof()
        await reader.read()

    return talk


@pytest.mark.parametrize("is_tls", [False, True])
def test_a_refusal_before_the_body_is_sent_is_told(
    run: Run, pems: Certificates, *, is_tls: bool
) -> None:
    """Though the server never reads the body; the connection is not used again."""
    numbers: list[int] = []
    is_told = asyncio.Event()

    async def refuse(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> None:
        numbers.append(number)
        await reader.readuntil(END)
        writer.write(b"HTTP/1.1 413 No\r\nContent-Length: 4\r\n\r\nmuch")
        await is_told.wait()

    async def story() -> None:
        async with link_to(refuse, pems if is_tls else None) as link:
            for _ in range(2):
                reply = await link.ask("POST", "/", soon(), body=[b"{}", memoryview(LARGE * 8)])
                assert (reply.status, reply.body) == (413, b"much")
            is_told.set()

    run(story())
    assert numbers == [0, 1]


def test_a_server_that_leaves_amid_the_body_is_unavailable(run: Run) -> None:
    async def leave(
        reader: asyncio.StreamReader, _writer: asyncio.StreamWriter, _number: int
    ) -> None:
        await reader.readuntil(END)

    async def story() -> None:
        async with link_to(leave) as link:
            with pytest.raises(BackendUnavailable):
                await link.ask("POST", "/", soon(), body=LARGE * 8)

    run(story())


@pytest.mark.parametrize("surplus", [OK, b"junk", b"HTTP/1.1 200 OK\r\n"])
def test_no_answer_is_taken_for_another_requests(run: Run, surplus: bytes) -> None:
    """What a server says too much costs it the connection, and nothing else."""

    async def babble(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> None:
        while True:
            await reader.readuntil(END)
            writer.write(b"HTTP/1.1 20%d OK\r\nContent-Length: 0\r\n\r\n" % number + surplus)

    async def story() -> None:
        async with link_to(babble) as link:
            statuses = [(await link.ask("POST", "/", soon())).status for _ in range(3)]
            assert statuses == [200, 201, 202]

    run(story())


@pytest.mark.parametrize(
    "said",
    [
        b"SSH-2.0-OpenSSH_9\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X-More: 1\r\n" * 10_000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000,
    ],
)
def test_what_is_no_answer_is_told(run: Run, said: bytes) -> None:
    async def story() -> None:
        async with link_to(saying(said)) as link:
            with pytest.raises(BackendInvalid, match="no HTTP answer"):
                await link.ask("POST", "/", soon())

    run(story())


def test_a_declared_length_over_the_limit_is_refused_at_once(run: Run) -> None:
    """None of the body comes."""

    async def story() -> None:
        said = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
        async with link_to(saying(said % (LIMIT + 1))) as link:
            with pytest.raises(BackendRefused):
                await link.ask("POST", "/", soon())

    run(story())


def test_a_body_without_an_end_is_refused(run: Run) -> None:
    """As soon as it is over the limit: there is more than any buffer on the way has room for."""
    endless = [LARGE] * (8 * LIMIT // len(LARGE))

    async def story() -> None:
        async with link_to(once(b"HTTP/1.1 200 OK\r\n\r\n", *endless)) as link:
            with pytest.raises(BackendRefused):
                await link.ask("POST", "/", soon())

    run(story())


def test_a_body_that_ends_with_the_connection(run: Run) -> None:
    """HTTP/1.0 has no other end; one that breaks off with an error is none."""

    async def story() -> None:
        async with link_to(once(b"HTTP/1.0 200 OK\r\n\r\n", LARGE)) as link:
            assert (await link.ask("POST", "/", soon())).body == LARGE

    run(story())


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/a b", {}),
        ("/\r\nX: 1", {}),
        ("/é", {}),
        ("/", {"X": "1\r\nY: 2"}),
        ("/", {"X\n": "1"}),
        ("/", {"X": "\0"}),
    ],
)
def test_a_request_has_the_lines_that_it_was_given(
    run: Run, path: str, headers: dict[str, str]
) -> None:
    """Nothing in it ends one and begins another."""

    async def story() -> None:
        async with link_to(saying(OK)) as link:
            with pytest.raises(ValueError, match="control characters"):
                await link.ask("POST", path, soon(), headers=headers)

    run(story())
