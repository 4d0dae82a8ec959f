"""A large body that a shortcut has room for arrives whole, or leaves nothing behind."""

from __future__ import annotations

import pytest

from gateway.http1.intake import INTAKE_BYTES
from tests.fakes.gateways import until
from tests.http1.short import Short, post, said_of, shortened
from tests.http1.wire import run

BODY = bytes(range(256)) * (INTAKE_BYTES // 16)  # 256 KiB: more than one read brings with the head
HEAD = len(post(b"/now", BODY)) - len(BODY)


@pytest.mark.parametrize("cut", [HEAD, 10, HEAD + 1, HEAD + INTAKE_BYTES + 5, len(BODY)])
def test_it_arrives_whole_however_it_is_cut(cut: int) -> None:
    """And again on the same connection, as do small ones before and after."""

    async def scenario() -> None:
        short = Short()
        async with shortened(short) as listener, listener.connected() as client:
            for path, body in [(b"/now", BODY), (b"/now", b"ab"), (b"/soon", BODY)] * 2:
                request = post(path, body)
                await client.send(request[:cut])
                if len(request) > cut > HEAD:
                    await until(lambda: short.holding == 1)  # so that they come apart
                await client.send(request[cut:])
                assert await client.answer() == (200, said_of(path, body))
            assert (short.taken, short.holding, short.released) == (6, 0, 0)

    run(scenario())


@pytest.mark.parametrize("cut", [1, 10, HEAD - 1])
def test_its_head_may_come_in_pieces(cut: int) -> None:
    async def scenario() -> None:
        short = Short()
        async with shortened(short) as listener, listener.connected() as client:
            for _ in range(2):
                request = post(b"/now", BODY)
                await client.send(request[:cut])
                await until(lambda: any(begun._is_arriving for begun in listener.state.connections))
                await client.send(request[cut:])
                assert await client.answer() == (200, said_of(b"/now", BODY))

    run(scenario())


def test_the_next_request_may_follow_at_once() -> None:
    async def scenario() -> None:
        short = Short()
        async with shortened(short) as listener, listener.connected() as client:
            await client.send(post(b"/held", BODY) + post(b"/now", b"next") + post(b"/now", BODY))
            await until(lambda: bool(short.held))
            short.release()
            for path, body in [(b"/held", BODY), (b"/now", b"next"), (b"/now", BODY)]:
                assert await client.answer() == (200, said_of(path, body))

    run(scenario())


@pytest.mark.parametrize("zeros", [4, 40])
def test_its_length_is_what_all_its_digits_say(zeros: int) -> None:
    """Else the rest of it would be a request."""

    async def scenario() -> None:
        short = Short()
        async with shortened(short) as listener, listener.connected() as client:
            length = b"content-length: "
            request = post(b"/now", BODY).replace(length, length + b"0" * zeros, 1)
            await client.send(request, post(b"/now", b"next"))
            assert await client.answer() == (200, said_of(b"/now", BODY))
            assert await client.answer() == (200, said_of(b"/now", b"next"))

    run(scenario())


@pytest.mark.parametrize("size", [INTAKE_BYTES, INTAKE_BYTES + 1, 2 * INTAKE_BYTES])
def test_the_shortcut_takes_what_comes_in_pieces_behind_it(size: int) -> None:
    """However little there is of it in the small piece that is read there first."""

    async def scenario() -> None:
        short = Short()
        async with shortened(short) as listener, listener.connected() as client:
            for body in (BODY, bytes(size), bytes(size), BODY):
                await client.send(post(b"/now", body))
                assert await client.answer() == (200, said_of(b"/now", body))
            assert short.taken == 4

    run(scenario())


@pytest.mark.parametrize("path", [b"/not", b"/full"])
def test_the_application_gets_what_the_shortcut_does_not_take(path: bytes) -> None:
    """Before a place is held for it, or when it is there."""

    async def scenario() -> None:
        short = Short()
        async with shortened(short) as listener, listener.connected() as client:
            for _ in range(2):
                await client.send(post(path, BODY))
                assert await client.answer() == (200, said_of(path, BODY))
            assert (short.taken, short.holding) == (0, 0)
            assert short.released == (2 if path == b"/not" else 0)

    run(scenario())


def test_who_leaves_midway_gives_the_place_back() -> None:
    async def scenario() -> None:
        short = Short()
        async with shortened(short) as listener, listener.connected() as client:
            await client.send(post(b"/now", BODY)[:-1])
            await until(lambda: short.holding == 1)
            client.abort()
            await until(lambda: not listener.state.connections)
            assert (short.taken, short.holding, short.released) == (0, 0, 1)

    run(scenario())


def test_who_is_too_slow_is_refused_and_gives_the_place_back() -> None:
    async def scenario() -> None:
        short = Short()
        async with (
            shortened(short, read_timeout_s=0.1) as listener,
            listener.connected() as client,
        ):
            await client.send(post(b"/now", BODY)[:-1])
            assert b" 408 " in (await client.rest()).split(b"\r\n")[0]
            await until(lambda: not listener.state.connections)
            assert (short.taken, short.holding, short.released) == (0, 0, 1)

    run(scenario())


def test_a_server_that_stops_answers_it_and_hangs_up() -> None:
    async def scenario() -> None:
        short = Short()
        async with shortened(short) as listener, listener.connected() as client:
            request = post(b"/now", BODY)
            await client.send(request[:-1])
            await until(lambda: short.holding == 1)
            connection = listener.connection
            connection.shutdown()
            await client.send(request[-1:])
            assert (await client.rest()).endswith(said_of(b"/now", BODY))
            assert short.holding == 0

    run(scenario())


@pytest.mark.parametrize("size", [10, 8 * 1024, 8 * 1024 + 1, 40_000])
def test_what_follows_may_have_a_head_of_any_size(size: int) -> None:
    async def scenario() -> None:
        short = Short()
        async with shortened(short) as listener, listener.connected() as client:
            for body in (BODY, b"ab", BODY):
                await client.send(post(b"/now", BODY))
                assert await client.answer() == (200, said_of(b"/now", BODY))
                request = post(b"/now", body).replace(b"\r\n", b"\r\nx: %b\r\n" % (b"y" * size), 1)
                await client.send(request)
                assert await client.answer() == (200, said_of(b"/now", body))

    run(scenario())


def test_what_follows_may_be_no_request() -> None:
    async def scenario() -> None:
        async with shortened(Short()) as listener, listener.connected() as client:
            await client.send(post(b"/now", BODY))
            assert await client.answer() == (200, said_of(b"/now", BODY))
            await client.send(b"\x00nothing\r\n\r\n")
            assert b" 400 " in (await client.rest()).split(b"\r\n")[0]
            await until(lambda: not listener.state.connections)

    run(scenario())


def test_who_leaves_after_it_is_forgotten() -> None:
    async def scenario() -> None:
        async with shortened(Short()) as listener, listener.connected() as client:
            await client.send(post(b"/now", BODY))
            assert await client.answer() == (200, said_of(b"/now", BODY))
            client.abort()
            await until(lambda: not listener.state.connections)

    run(scenario())
