"""Do requests leave when they are due, whatever the server does, and is each answered by its own answer?"""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.open_loop import Answer, Offered, offer, poisson, post

Reply = Callable[[bytes], Awaitable[bytes]]


def framed(body: bytes, *, status: str = "200 OK", more: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode() + body


class Server:
    """Answers every body with what `reply` makes of it, in a thread of its own; b"" hangs up instead."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self.connections = 0

    async def serve(self, ready: Callable[[int], None], stop: threading.Event) -> None:
        server = await asyncio.start_server(self._converse, "127.0.0.1", 0)
        async with server:
            ready(server.sockets[0].getsockname()[1])
            await asyncio.to_thread(stop.wait, 60)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                answer = await self._reply(await reader.readexactly(length))
                writer.write(answer)
                await writer.drain()
                if not answer or b"Connection: close" in answer:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return  # the client has left
        finally:
            writer.close()


@contextmanager
def serving(reply: Reply) -> Iterator[tuple[str, Server]]:
    server, stop, ports = Server(reply), threading.Event(), []
    bound = threading.Event()

    def ready(port: int) -> None:
        ports.append(port)
        bound.set()

    thread = threading.Thread(target=lambda: asyncio.run(server.serve(ready, stop)))
    thread.start()
    try:
        assert bound.wait(30)
        yield f"127.0.0.1:{ports[0]}", server
    finally:
        stop.set()
        thread.join(30)


async def same(body: bytes) -> bytes:
    return framed(body)


BODIES = [b"%d" % n for n in range(7)]
REQUESTS = [post("/echo", body) for body in BODIES]


@given(rate=st.floats(1, 5000), seconds=st.floats(0.1, 3), seed=st.integers(0, 99))
def test_arrivals_ascend_within_their_time(rate: float, seconds: float, seed: int) -> None:
    due = poisson(rate_per_s=rate, seconds=seconds, seed=seed)
    assert (np.diff(due) >= 0).all()
    assert ((due >= 0) & (due < seconds)).all()
    assert len(due) == round(rate * seconds)
    np.testing.assert_array_equal(due, poisson(rate_per_s=rate, seconds=seconds, seed=seed))


def test_gaps_between_arrivals_are_exponential() -> None:
    """Their standard deviation is their mean; evenly spaced ones would have none."""
    gaps = np.diff(poisson(rate_per_s=1000, seconds=100, seed=1))
    assert gaps.mean() == pytest.approx(1e-3, rel=0.02)
    assert gaps.std() == pytest.approx(1e-3, rel=0.02)


def test_every_arrival_gets_the_answer_to_its_own_request() -> None:
    with serving(same) as (address, _):
        offered = offer(address, REQUESTS, poisson(rate_per_s=2000, seconds=0.2, seed=3))
    assert len(offered.answers) > 200
    wanted = [Answer(200, BODIES[n % 7]) for n in range(len(offered.answers))]
    assert offered.answers == wanted
    assert (offered.reached_s >= offered.due_s).all()
    assert (offered.answered_s > offered.reached_s).all()
    summary = offered.summary()
    assert (summary.errors, summary.unanswered) == (0, 0)


def test_requests_do_not_wait_for_answers() -> None:
    """The server holds every answer until the last request has come: a closed loop would never end."""
    waiting, number = [0], 50
    event: list[asyncio.Event] = []

    async def hold(body: bytes) -> bytes:
        event[:] = event or [asyncio.Event()]
        waiting[0] += 1
        if waiting[0] == number:
            event[0].set()
        async with asyncio.timeout(30):
            await event[0].wait()
        return framed(body)

    with serving(hold) as (address, server):
        offered = offer(address, REQUESTS, np.linspace(0, 0.05, number), grace_s=30)
    assert all(answer is not None for answer in offered.answers)
    assert server.connections == number


def test_at_most_so_many_connections_are_opened() -> None:
    with serving(same) as (address, server):
        offered = offer(address, REQUESTS, np.zeros(300), connections=4, grace_s=30)
    assert [answer and answer.body for answer in offered.answers] == [
        BODIES[n % 7] for n in range(300)
    ]
    assert server.connections <= 4


def test_a_server_that_ends_its_connections_loses_nothing() -> None:
    async def close(body: bytes) -> bytes:
        return framed(body, more="Connection: close\r\n")

    with serving(close) as (address, server):
        offered = offer(address, REQUESTS, np.zeros(30), connections=3, grace_s=30)
    assert [answer and answer.body for answer in offered.answers] == [
        BODIES[n % 7] for n in range(30)
    ]
    assert server.connections == 30


def test_a_request_that_meets_the_end_of_an_old_connection_is_sent_again() -> None:
    seen: dict[bytes, int] = {}

    async def every_second_hangs_up(body: bytes) -> bytes:
        seen[body] = seen.get(body, 0) + 1
        return b"" if body == b"1" and seen[body] == 1 else framed(body)

    with serving(every_second_hangs_up) as (address, _):
        offered = offer(address, REQUESTS, np.zeros(3), connections=1, grace_s=30)
    assert [answer and answer.body for answer in offered.answers] == [b"0", b"1", b"2"]
    assert seen[b"1"] == 2


def test_what_a_new_connection_does_not_answer_stays_unanswered() -> None:
    async def hang_up(_: bytes) -> bytes:
        return b""

    with serving(hang_up) as (address, _):
        offered = offer(address, REQUESTS, np.zeros(5), grace_s=30)
    assert offered.answers == [None] * 5
    told = offered.summary()
    assert (told.unanswered, told.p50_ms, told.p99_ms) == (5, None, None)


def test_errors_are_answers_without_a_latency() -> None:
    async def refuse(body: bytes) -> bytes:
        return framed(body) if body == b"0" else framed(b"", status="503 Busy")

    with serving(refuse) as (address, _):
        offered = offer(address, REQUESTS, np.zeros(14), grace_s=30)
    told = offered.summary()
    assert (told.errors, told.unanswered) == (12, 0)
    assert told.p50_ms is not None


def test_answers_in_pieces_are_put_together() -> None:
    chunks = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    )

    async def chunked(_: bytes) -> bytes:
        return chunks

    with serving(chunked) as (address, _):
        offered = offer(address, REQUESTS, np.zeros(4), connections=2, grace_s=30)
    assert offered.answers == [Answer(200, b"abcde")] * 4


def offered_with(latency_s: list[float], late_s: float) -> Offered:
    due = np.arange(len(latency_s), dtype=float)
    latencies = np.array(latency_s)
    answers = [None if math.isnan(value) else Answer(200, b"") for value in latency_s]
    return Offered(
        due_s=due,
        reached_s=due + late_s,
        answered_s=due + latencies,
        answers=answers,
        seconds=float(len(latency_s)),
        busy_ratio=0.5,
    )


def test_percentiles_count_from_the_intended_time() -> None:
    told = offered_with([n / 1000 for n in range(1, 101)], 0.0).summary()
    assert (told.p50_ms, told.p90_ms, told.p99_ms) == pytest.approx((50, 90, 99))
    assert (told.offered_per_s, told.answered_per_s) == (1.0, 1.0)


def test_the_unanswered_are_slower_than_all() -> None:
    told = offered_with([0.001] * 89 + [math.nan] * 11, 0.0).summary()
    assert told.p50_ms == pytest.approx(1)
    assert told.p90_ms is None
    assert told.unanswered == 11


def test_what_was_due_while_warming_is_left_out() -> None:
    told = offered_with([9.0] * 5 + [0.001] * 5, 0.0).summary(warm_s=5)
    assert told.p99_ms == pytest.approx(1)
    assert told.offered_per_s == 1.0


@pytest.mark.parametrize(
    ("latency_s", "late_s", "valid"),
    [(0.002, 0.0009, True), (0.002, 0.0011, False), (0.050, 0.0049, True), (0.050, 0.0051, False)],
)
def test_a_generator_that_is_late_says_so(latency_s: float, late_s: float, valid: bool) -> None:  # noqa: FBT001
    told = offered_with([latency_s] * 10, late_s).summary()
    assert told.valid is valid
    assert told.late_p99_ms == pytest.approx(late_s * 1e3)
