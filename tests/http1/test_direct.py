"""What a shortcut serves looks, on the wire, as if the application had; and what it leaves is served too."""

from __future__ import annotations

import asyncio
import re
from functools import partial

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.http1.intake import INTAKE_BYTES
from tests.fakes.gateways import until
from tests.http1.short import Short, post, said_of, shortened
from tests.http1.wire import Client, Listener, run

LAST = b"GET /last HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
LARGE, LARGER = (b"\r\n\r\n" + bytes(times * INTAKE_BYTES) for times in (1, 4))

REQUESTS = st.builds(
    post,
    st.sampled_from([b"/now", b"/soon", b"/task", b"/not", b"/now/2"]),
    st.sampled_from(
        [b"", b"a", b"bb", b"cc", b"\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", LARGE, LARGER]
    ),
) | st.sampled_from(
    [
        b"GET /a HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /a HTTP/1.1\r\ncontent-length: 5\r\n\r\nPOST ",
        b"\r\n" + post(b"/now", b"dd"),
        b"POST /now HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\nz\r\n0\r\n\r\n",
        b"POST /now HTTP/1.1\r\nhost: x\r\n\r\n",
        b"HEAD /now HTTP/1.1\r\nhost: x\r\n\r\n",
    ]
)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(REQUESTS, st.booleans(), st.integers(0, 60) | st.just(500)), max_size=12),
    st.sampled_from([LAST, b"NONSENSE\r\n\r\n", post(b"/now", b"q", b"connection: close")]),
)
def test_nobody_can_tell_which_requests_took_the_shortcut(
    conversation: list[tuple[bytes, bool, int]], last: bytes
) -> None:
    """Some requests are sent when all before were answered, others at once and cut in two anywhere."""

    async def said(short: Short | None) -> bytes:
        async with shortened(short) as listener, listener.connected() as client:
            for sent, (request, is_polite, cut) in enumerate(conversation):
                if is_polite:
                    await until(partial(answered, listener, sent))
                parts = [request] if is_polite else [request[:cut], request[cut:]]
                await client.send(*[part for part in parts if part])
            await client.send(last)
            return await client.rest()

    async def scenario() -> None:
        assert await said(Short()) == await said(None)

    run(scenario())


def test_one_after_the_other_as_clients_do() -> None:
    """Each request is sent when the one before was answered: then heads that come again are known."""

    async def scenario() -> None:
        short = Short()
        async with shortened(short) as listener, listener.connected() as client:
            for path, body in [(b"/now", b"ab"), (b"/now", b"cd"), (b"/soon", b"ef")] * 3:
                await client.send(post(path, body))
                assert await client.answer() == (200, said_of(path, body))
            assert short.taken == 9
            assert listener.state.total_requests == 9

    run(scenario())


def test_a_head_that_comes_again_is_not_read_again() -> None:
    async def scenario() -> None:
        short = Short()
        async with shortened(short) as listener, listener.connected() as client:
            for body in (b"abc", b"def", b"ghi"):
                await client.send(post(b"/now", body))
                assert await client.answer() == (200, said_of(b"/now", body))
            assert short.read_paths == [b"/now"]
            await client.send(post(b"/now", b"more"))
            assert await client.answer() == (200, said_of(b"/now", b"more"))
            assert short.read_paths == [b"/now", b"/now"]
            assert short.taken == 4

    run(scenario())


def test_a_known_head_with_less_behind_it_waits_for_the_rest() -> None:
    async def scenario() -> None:
        short = Short()
        async with shortened(short) as listener, listener.connected() as client:
            whole = post(b"/now", b"abc")
            for _ in range(2):
                await client.send(whole[:-1])
                await until(lambda: bool(listener.connection._is_arriving))
                await client.send(whole[-1:])
                assert await client.answer() == (200, said_of(b"/now", b"abc"))
                await client.send(whole)
                assert await client.answer() == (200, said_of(b"/now", b"abc"))

    run(scenario())


def test_the_end_of_a_head_is_not_taken_for_one() -> None:
    """A header may look like the first line of another request, and a packet may begin with it."""

    async def scenario() -> None:
        async with shortened(Short()) as listener, listener.connected() as client:
            looks_whole = post(b"/now", b"abc")
            await client.send(b"POST /now/2 HTTP/1.1\r\nx: ")
            await until(lambda: bool(listener.connection._is_arriving))
            await client.send(looks_whole)
            assert await client.answer() == (200, said_of(b"/now/2", b"abc"))
            await client.send(looks_whole)
            assert await client.answer() == (200, said_of(b"/now", b"abc"))

    run(scenario())


def test_a_head_behind_the_rest_of_a_body_is_not_taken_for_more_than_it_is() -> None:
    """The body is that of a request which was answered before it came, and looks like another head."""

    async def scenario() -> None:
        async with shortened(Short()) as listener, listener.connected() as client:
            rest = b"POST /now/2 HTTP/1.1\r\nx: "
            await client.send(b"GET / HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % len(rest))
            assert await client.answer() == (200, said_of(b"/", b""))
            both = rest + post(b"/now", b"abc")
            await client.send(both)
            assert await client.answer() == (200, said_of(b"/now", b"abc"))
            await client.send(both)
            assert await client.answer() == (200, said_of(b"/now/2", b"abc"))

    run(scenario())


def test_a_client_that_leaves_is_told_of_once() -> None:
    async def scenario() -> None:
        short = Short()
        async with shortened(short) as listener:
            async with listener.connected() as client:
                await client.send(post(b"/now", b"a"))
                await client.answer()
                await client.send(post(b"/held", b"b"))
                await until(lambda: len(short.held) == 1)
                client.abort()
                await until(lambda: short.abandoned == 1)
            await until(lambda: not listener.state.connections)
            short.release()  # too late: nobody is written to
            assert short.abandoned == 1

    run(scenario())


def test_requests_behind_one_that_waits_are_answered_after_it() -> None:
    async def scenario() -> None:
        short = Short()
        async with shortened(short) as listener, listener.connected() as client:
            await client.send(post(b"/held", b"1"))
            await until(lambda: len(short.held) == 1)
            await client.send(post(b"/now", b"2"), post(b"/held", b"3"))
            await until(lambda: len(listener.connection.pipeline) == 2)
            short.release()
            for path, body in ((b"/held", b"1"), (b"/now", b"2"), (b"/held", b"3")):
                assert await client.answer() == (200, said_of(path, body))

    run(scenario())


def test_nonsense_behind_one_that_waits_is_refused_after_its_answer() -> None:
    async def scenario() -> None:
        short = Short()
        async with shortened(short) as listener, listener.connected() as client:
            await client.send(post(b"/held", b"1"))
            await until(lambda: len(short.held) == 1)
            await client.send(b"NONSENSE\r\n\r\n")
            await until(lambda: bool(listener.refusals))
            short.release()
            said = await client.rest()
            assert re.findall(rb"HTTP/1.1 (\d+)", said) == [b"200", b"400"]

    run(scenario())


async def stopped_with(listener: Listener, client: Client, short: Short) -> bytes:
    """What the client gets when the server stops while its request waits."""
    async with asyncio.TaskGroup() as group:
        group.create_task(listener.server.stop())
        await until(lambda: not listener.connection.cycle.keep_alive)
        short.release()
        return await client.rest()


def test_a_server_that_stops_answers_first_and_closes() -> None:
    async def scenario() -> None:
        short = Short()
        async with shortened(short) as listener, listener.connected() as client:
            await client.send(post(b"/held", b"1"))
            await until(lambda: len(short.held) == 1)
            said = await stopped_with(listener, client, short)
            assert said.startswith(b"HTTP/1.1 200 OK\r\n")
            assert b"\r\nconnection: close\r\n" in said
            assert said.endswith(said_of(b"/held", b"1"))

    run(scenario())


def test_a_task_of_its_own_is_the_servers_until_it_ends() -> None:
    async def scenario() -> None:
        async with shortened(Short()) as listener, listener.connected() as client:
            await client.send(post(b"/task", b"1"))
            await until(lambda: len(listener.state.tasks) == 1)
            assert await client.answer() == (200, said_of(b"/task", b"1"))
            await until(lambda: not listener.state.tasks)

    run(scenario())


def answered(listener: Listener, count: int) -> bool:
    return bool(listener.state.total_requests == count)
