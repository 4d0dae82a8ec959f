"""One HTTP server asked over TCP, TLS and a Unix socket, and what goes wrong on the way."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from pathlib import Path

import pytest
from aiohttp import web

from gateway.backend_config import BackendTlsConfig
from gateway.backends.http_link import APART_BYTES, HttpLink
from gateway.errors import BackendRefused, BackendTimeout, BackendUnavailable
from gateway.messages import Deadline
from tests.addresses import free_port
from tests.backends.http_server import Certificates, fixed, serving_http

LIMIT = 1000


def soon(seconds: float = 20.0) -> Deadline:
    return Deadline.after(asyncio.get_running_loop().time(), seconds)


async def get(
    address: str, tls: BackendTlsConfig | None = None, deadline: Deadline | None = None
) -> bytes:
    link = HttpLink("pt", address, max_message_bytes=LIMIT, tls=tls)
    try:
        reply = await link.ask("GET", "/", deadline or soon())
        return reply.body
    finally:
        await link.aclose()


def demanding(pems: Certificates) -> ssl.SSLContext:
    """A server that asks for its clients' certificates."""
    context = pems.served()
    context.load_verify_locations(str(pems.ca))
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def test_headers_and_bodies_pass_and_the_connection_is_kept() -> None:
    """Header names come back in lower case."""
    peers: set[object] = set()

    async def echo(request: web.Request) -> web.Response:
        assert request.transport is not None
        peers.add(request.transport.get_extra_info("peername"))
        headers = {"X-Got": request.headers["x-sent"]}
        return web.Response(body=await request.read(), status=418, headers=headers)

    async def story() -> None:
        async with serving_http({"POST /a%2Fb": echo}) as address:
            link = HttpLink("pt", address, max_message_bytes=LIMIT)
            for _ in range(3):
                reply = await link.ask(
                    "POST", "/a%2Fb", soon(), body=b"\0one", headers={"X-Sent": "7"}
                )
                assert (reply.status, reply.headers["x-got"], reply.body) == (418, "7", b"\0one")
            await link.aclose()
            with pytest.raises(BackendUnavailable, match="was closed"):
                await link.ask("GET", "/", soon())

    asyncio.run(story())
    assert len(peers) == 1


@pytest.mark.parametrize("size", [10, APART_BYTES])
def test_a_body_in_pieces_arrives_whole(size: int) -> None:
    """Joined or not; the length that the server is told is that of all of them."""
    pieces: list[bytes | memoryview] = [b"{}", memoryview(bytes(size)), memoryview(b"end")]
    got: list[tuple[int | None, bytes]] = []

    async def read(request: web.Request) -> web.Response:
        got.append((request.content_length, await request.read()))
        return web.Response()

    async def story() -> None:
        async with serving_http({"POST /": read}) as address:
            link = HttpLink("pt", address, max_message_bytes=LIMIT)
            for _ in range(2):
                assert (await link.ask("POST", "/", soon(), body=pieces)).status == 200
            await link.aclose()

    asyncio.run(story())
    assert got == [(size + 5, b"".join(pieces))] * 2


def test_a_unix_socket(tmp_path: Path) -> None:
    async def story() -> None:
        async with serving_http({"GET /": fixed(b"hello")}, unix=tmp_path / "s") as address:
            assert await get(address) == b"hello"

    asyncio.run(story())


def test_tls_with_a_certificate_of_our_own(pems: Certificates) -> None:
    """The server is known by the name that the setting gives, the gateway by its certificate."""
    another = BackendTlsConfig(ca_file=str(pems.ca), server_name="other.test")

    async def story() -> None:
        async with serving_http({"GET /": fixed(b"hello")}, tls=demanding(pems)) as address:
            assert await get(address, pems.introduced()) == b"hello"
            for wrong in (pems.trusted(), another, BackendTlsConfig()):
                with pytest.raises(BackendUnavailable):
                    await get(address, wrong)
            with pytest.raises(BackendUnavailable):
                await get(address)  # plain HTTP to a TLS port

    asyncio.run(story())


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    """As unavailable, because it may be there the next time."""

    async def story() -> None:
        with pytest.raises(BackendUnavailable, match="certificates"):
            await get("127.0.0.1:1", BackendTlsConfig(ca_file=str(tmp_path / "none.pem")))

    asyncio.run(story())


def test_nobody_there_is_unavailable(tmp_path: Path) -> None:
    """At a port, and at a socket."""

    async def story() -> None:
        for address in (f"127.0.0.1:{free_port()}", f"unix:{tmp_path}/none"):
            with pytest.raises(BackendUnavailable, match=r"backend pt at .* cannot be reached"):
                await get(address)

    asyncio.run(story())


def test_who_is_lost_on_the_way_is_unavailable_and_not_late() -> None:
    """The kernel's time has run out, and not the caller's."""

    class Lossy(asyncio.SelectorEventLoop):
        async def sock_connect(self, sock: socket.socket, address: object) -> None:
            del sock, address
            raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))

    with (
        asyncio.Runner(loop_factory=Lossy) as runner,
        pytest.raises(BackendUnavailable, match="timed out"),
    ):
        runner.run(get("127.0.0.1:1"))


def test_a_server_that_is_too_late_times_out() -> None:
    """And one that is asked after the deadline."""

    async def hang(_request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError("it waits for ever")

    async def story() -> None:
        async with serving_http({"GET /": hang}) as address:
            for seconds in (0.05, -1.0):
                with pytest.raises(BackendTimeout):
                    await get(address, deadline=soon(seconds))

    asyncio.run(story())


def test_an_answer_over_the_limit_is_refused() -> None:
    """Neither more nor less than the limit."""

    async def story() -> None:
        answers = {"GET /": fixed(b"x" * LIMIT)}
        async with serving_http(answers) as address:
            assert len(await get(address)) == LIMIT
        async with serving_http({"GET /": fixed(b"x" * (LIMIT + 1))}) as address:
            with pytest.raises(BackendRefused) as caught:
                await get(address)
            assert caught.value.code == "RESOURCE_EXHAUSTED"

    asyncio.run(story())


def test_a_server_that_breaks_off_is_unavailable() -> None:
    """Before its answer, or in the middle of it."""

    async def story() -> None:
        for said in (b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"):

            async def break_off(
                reader: asyncio.StreamReader, writer: asyncio.StreamWriter, said: bytes = said
            ) -> None:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(said)
                writer.close()
                await writer.wait_closed()

            server = await asyncio.start_server(break_off, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            async with server:
                with pytest.raises(BackendUnavailable):
                    await get(f"127.0.0.1:{port}")

    asyncio.run(story())
