"""What do gRPC's own clients, and sockets that misbehave, see of the server?"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

import grpc
import pytest
import uvloop

from gateway.errors import UnknownModel
from gateway.messages import Deadline
from serving.torch_server import http2_frames as h2
from serving.torch_server.grpc_server import GrpcServer
from serving.torch_server.grpc_wire import write_message
from serving.torch_server.hpack import write_headers

MAX_BYTES = 40_000_000
TIMEOUT_S = 30.0
CALL = write_headers(
    [(b":method", b"POST"), (b":path", b"/t/Echo"), (b"content-type", b"application/grpc")]
)

Call: TypeAlias = "grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]"


class Methods:
    """Methods of a service, and what happened to them."""

    def __init__(self) -> None:
        self.deadlines: list[float] = []
        self.entered = asyncio.Event()
        self.left = asyncio.Event()
        self.may_go = asyncio.Event()

    async def echo(self, data: bytes, deadline: Deadline) -> bytes:
        self.deadlines.append(deadline.remaining_s(asyncio.get_running_loop().time()))
        return data

    async def wait(self, data: bytes, deadline: Deadline) -> bytes:  # noqa: ARG002
        self.entered.set()
        try:
            await self.may_go.wait()
        except asyncio.CancelledError:
            self.left.set()
            raise
        return data

    async def refuse(self, data: bytes, deadline: Deadline) -> bytes:  # noqa: ARG002
        raise UnknownModel(f"got {data.decode()!r}: 100 % unknown, ¡déjà vu!\n")

    async def fail(self, data: bytes, deadline: Deadline) -> bytes:  # noqa: ARG002
        raise KeyError("a secret")


class Served:
    """A server, its methods and a client of it."""

    def __init__(self, server: GrpcServer, methods: Methods, address: tuple[str, int]) -> None:
        self.server = server
        self.methods = methods
        self.address = address
        self.running: asyncio.Task[None]
        self.channel = grpc.aio.insecure_channel(
            "{}:{}".format(*address),
            options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)],
        )

    def method(self, name: str) -> Call:
        call: Call = self.channel.unary_unary(f"/t/{name}")
        return call

    async def ask(self, name: str, data: bytes = b"", timeout_s: float = TIMEOUT_S) -> bytes:
        return await self.method(name)(data, timeout=timeout_s)


@asynccontextmanager
async def serving() -> AsyncIterator[Served]:
    methods = Methods()
    by_path = {
        b"/t/Echo": methods.echo,
        b"/t/Wait": methods.wait,
        b"/t/Refuse": methods.refuse,
        b"/t/Fail": methods.fail,
    }
    server = GrpcServer(by_path, max_message_bytes=MAX_BYTES, default_timeout_s=3600.0)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        served = Served(server, methods, listener.getsockname())
        async with asyncio.TaskGroup() as group:
            served.running = group.create_task(server.run(listener))
            try:
                yield served
            finally:
                server.drain(0.0)
                await served.channel.close()


def run(test: Callable[[Served], Awaitable[None]]) -> None:
    """Run a test's body against a server of its own."""

    async def main() -> None:
        async with asyncio.timeout(2 * TIMEOUT_S), serving() as served:
            await test(served)

    uvloop.run(main())


def code_of(error: pytest.ExceptionInfo[grpc.aio.AioRpcError]) -> str:
    return str(error.value.code().name)


def test_messages_of_any_size_come_back_even_many_at_once() -> None:
    async def test(served: Served) -> None:
        sizes = [0, 1, 16_379, 16_380, 65_535, 70_000, 3_000_000, MAX_BYTES, *range(100, 300)]
        sent = [bytes([size % 256]) * size for size in sizes]
        assert await asyncio.gather(*(served.ask("Echo", data) for data in sent)) == sent

    run(test)


def test_a_deadline_is_the_caller_s_or_the_server_s() -> None:
    async def test(served: Served) -> None:
        await served.ask("Echo", timeout_s=100.0)
        await served.method("Echo")(b"")
        await served.ask("Echo", timeout_s=1e9)
        caller_s, own_s, endless_s = served.methods.deadlines
        assert 50.0 < caller_s <= 101.0
        assert 3500.0 < own_s <= 3600.0
        assert 3600.0 < endless_s <= 86_400.0

    run(test)


def test_compressed_messages_are_read() -> None:
    async def test(served: Served) -> None:
        for compression in (grpc.Compression.Gzip, grpc.Compression.Deflate):
            answer = await served.method("Echo")(bytes(100_000), compression=compression)
            assert answer == bytes(100_000)

    run(test)


def test_an_error_comes_with_its_code_and_its_words() -> None:
    async def test(served: Served) -> None:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await served.ask("Refuse", b"nope")
        assert code_of(caught) == "NOT_FOUND"
        assert caught.value.details() == "got 'nope': 100 % unknown, ¡déjà vu!\n"

    run(test)


def test_a_bug_is_logged_and_not_told_and_the_server_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test(served: Served) -> None:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await served.ask("Fail")
        assert code_of(caught) == "INTERNAL"
        assert "secret" not in str(caught.value.details())
        assert await served.ask("Echo", b"!") == b"!"

    with caplog.at_level(logging.ERROR):
        run(test)
    assert [record.message for record in caplog.records] == ["call_failed"]
    assert "a secret" in caplog.text


def test_a_method_that_is_not_served_is_unimplemented() -> None:
    async def test(served: Served) -> None:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await served.ask("Nope")
        assert code_of(caught) == "UNIMPLEMENTED"
        assert "/t/Nope" in str(caught.value.details())

    run(test)


def test_a_message_that_is_too_large_is_refused_and_the_connection_goes_on() -> None:
    async def test(served: Served) -> None:
        for compression in (None, grpc.Compression.Gzip):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await served.method("Echo")(bytes(MAX_BYTES + 1), compression=compression)
            assert code_of(caught) == "RESOURCE_EXHAUSTED"
            assert f"more than {MAX_BYTES} bytes" in str(caught.value.details())
        assert await served.ask("Echo", b"!") == b"!"

    run(test)


def test_a_caller_that_leaves_cancels_its_method() -> None:
    async def test(served: Served) -> None:
        call = served.method("Wait")(b"")
        await served.methods.entered.wait()
        call.cancel()
        await served.methods.left.wait()
        assert await served.ask("Echo", b"!") == b"!"

    run(test)


def test_a_connection_that_breaks_cancels_its_methods() -> None:
    async def test(served: Served) -> None:
        waiting = CALL.replace(b"/t/Echo", b"/t/Wait")
        _, writer = await asyncio.open_connection(*served.address)
        writer.write(
            h2.PREFACE + h2.settings({}) + h2.frame(h2.HEADERS, h2.END_HEADERS, 1, waiting)
        )
        writer.write(h2.frame(h2.DATA, h2.END_STREAM, 1, write_message(b"")))
        await served.methods.entered.wait()
        writer.close()
        await served.methods.left.wait()

    run(test)


def test_what_was_accepted_is_answered_before_the_end_and_nothing_new_is() -> None:
    async def test(served: Served) -> None:
        async with asyncio.TaskGroup() as group:
            held = group.create_task(served.ask("Wait", b"held"))
            await served.methods.entered.wait()
            served.server.drain(TIMEOUT_S)
            while (code := await _code(served.ask("Echo"))) == "OK":
                pass  # it was on its way when the server said that it leaves
            assert code == "UNAVAILABLE"
            assert not served.running.done()
            served.methods.may_go.set()
            assert await held == b"held"
        await served.running

    run(test)


def test_at_the_end_nobody_waits_for_a_call_longer_than_was_said() -> None:
    async def test(served: Served) -> None:
        async with asyncio.TaskGroup() as group:
            held = group.create_task(_code(served.ask("Wait")))
            await served.methods.entered.wait()
            served.server.drain(0.05)
            await served.running
            await served.methods.left.wait()
            assert await held == "UNAVAILABLE"

    run(test)


async def _code(asked: Awaitable[bytes]) -> str:
    try:
        await asked
    except grpc.aio.AioRpcError as exc:
        return str(exc.code().name)
    return "OK"


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"something else than HTTP/2"),
        (h2.PREFACE + h2.frame(h2.PING, 0, 0, b"?"), b"a ping that is none"),
    ],
)
def test_who_does_not_speak_the_protocol_is_told_and_left(sent: bytes, told: bytes) -> None:
    async def test(served: Served) -> None:
        reader, writer = await asyncio.open_connection(*served.address)
        writer.write(sent)
        assert told in await reader.read()
        writer.close()

    run(test)


def test_a_request_that_is_not_grpc_is_told_so() -> None:
    async def test(served: Served) -> None:
        block = write_headers([(b":method", b"POST"), (b":path", b"/t/Echo")])
        reader, writer = await asyncio.open_connection(*served.address)
        ends = h2.END_HEADERS | h2.END_STREAM
        writer.write(h2.PREFACE + h2.settings({}) + h2.frame(h2.HEADERS, ends, 1, block))
        await reader.readuntil(write_headers([(b":status", b"415")]))
        writer.close()

    run(test)


def test_half_a_request_is_given_up_at_its_deadline() -> None:
    async def test(served: Served) -> None:
        block = CALL + write_headers([(b"grpc-timeout", b"50m")])
        reader, writer = await asyncio.open_connection(*served.address)
        writer.write(h2.PREFACE + h2.settings({}) + h2.frame(h2.HEADERS, h2.END_HEADERS, 1, block))
        await reader.readuntil(b"the deadline passed before all of the call came")
        writer.close()

    run(test)
