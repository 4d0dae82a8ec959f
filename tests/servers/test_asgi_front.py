"""REST and gRPC as one application: who is served by which, who leaves, and who takes too long."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from gateway.http1.bounds import Manners
from gateway.servers.asgi_front import AsgiFront
from gateway.servers.grpc_asgi import GrpcApp
from gateway.servers.grpc_calls import Call, Messages, Refusal, Served
from gateway.servers.grpc_frames import framed
from gateway.servers.rest import RestApi
from tests.servers.asgi import Message, Wire, pieces, scope

KEY = b"x-key"
DEADLINE_EXCEEDED = b"4"
LONG_S = 60.0


class Slow:
    """What both sides serve: it waits to be let go, and notes how it ended."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.go = asyncio.Event()
        self.cancelled = 0

    async def unary(self, data: bytes, _: Call) -> bytes:
        await self._wait()
        return data

    async def stream(self, _: Messages, __: Call) -> None:
        await self._wait()

    async def rest(self, _: object, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body", False):
            pass
        await self._wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"rest"})

    async def _wait(self) -> None:
        self.begun.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


def keyed(path: str, key: bytes = b"1", *, http: bool = False) -> Message:
    made = scope(path, (KEY, key))
    return {**made, "http_version": "1.1"} if http else made


def against(
    scenario: Callable[[AsgiFront, Slow], Awaitable[None]], *, read_timeout_s: float = LONG_S
) -> list[str]:
    """Run a scenario; the reasons of what was refused."""
    refused: list[str] = []

    async def run() -> None:
        slow = Slow()
        served = Served({"/s/M": slow.unary}, {"/s/S": slow.stream}, Refusal)  # type: ignore[arg-type]
        clock = asyncio.get_running_loop().time
        grpc = GrpcApp(served, max_message_bytes=100, clock=clock)
        manners = Manners(read_timeout_s, refused.append)
        # All that the front asks of it is to be called.
        front = AsgiFront(cast("RestApi", slow.rest), grpc, manners, key=KEY)
        async with asyncio.timeout(20):
            await scenario(front, slow)

    asyncio.run(run())
    return refused


@pytest.mark.parametrize("http", [False, True])
def test_a_request_is_served_by_what_it_speaks(*, http: bool) -> None:
    async def scenario(front: AsgiFront, slow: Slow) -> None:
        slow.go.set()
        wire = Wire(pieces(framed(b"a")))
        await front(keyed("/s/M", http=http), wire.receive, wire.send)
        assert wire.sent[0]["status"] == 200
        assert wire.body == (b"rest" if http else framed(b"a"))

    against(scenario)


def test_head_is_answered_without_a_body() -> None:
    async def scenario(front: AsgiFront, slow: Slow) -> None:
        slow.go.set()
        wire = Wire(pieces(b""))
        await front({**keyed("/", http=True), "method": "HEAD"}, wire.receive, wire.send)
        assert len(wire.sent) == 2
        assert wire.body == b""

    against(scenario)


@pytest.mark.parametrize("http", [False, True])
def test_who_leaves_has_the_work_cancelled_and_no_other(*, http: bool) -> None:
    async def scenario(front: AsgiFront, slow: Slow) -> None:
        leaver, other = Wire(pieces(framed(b"a"))), Wire(pieces(framed(b"b")))
        async with asyncio.TaskGroup() as group:
            group.create_task(front(keyed("/s/M", b"1", http=http), leaver.receive, leaver.send))
            group.create_task(front(keyed("/s/M", b"2", http=http), other.receive, other.send))
            await slow.begun.wait()
            front.leave(b"1")
            front.leave(b"unknown")
            await asyncio.sleep(0)
            slow.go.set()
        assert slow.cancelled == 1
        assert leaver.sent == []
        assert other.sent

    assert against(scenario) == []


def test_who_left_before_the_work_began_is_not_served() -> None:
    async def scenario(front: AsgiFront, slow: Slow) -> None:
        front.leave(b"1")
        wire = Wire(pieces(framed(b"a")))
        await front(keyed("/s/M"), wire.receive, wire.send)
        assert not wire.sent
        assert not slow.begun.is_set()
        slow.go.set()
        await front(keyed("/s/M"), wire.receive, wire.send)  # the key is forgotten
        assert slow.begun.is_set()

    against(scenario)


def test_idle_waits_for_every_open_request() -> None:
    async def scenario(front: AsgiFront, slow: Slow) -> None:
        await front.idle()
        wire = Wire(pieces(framed(b"a")))
        async with asyncio.TaskGroup() as group:
            group.create_task(front(keyed("/s/M"), wire.receive, wire.send))
            await slow.begun.wait()
            idle = group.create_task(front.idle())
            await asyncio.sleep(0)
            assert not idle.done()
            slow.go.set()
        assert wire.sent

    against(scenario)


def test_what_does_not_arrive_whole_is_refused() -> None:
    async def scenario(front: AsgiFront, _: Slow) -> None:
        wire = Wire([{"type": "http.request", "body": b"\0", "more_body": True}])
        await front(keyed("/s/M", http=True), wire.receive, wire.send)
        assert wire.sent[0]["status"] == 408
        assert b"has not arrived whole within 0.01 s" in wire.body

    assert against(scenario, read_timeout_s=0.01) == ["deadline"]


def test_a_call_that_does_not_arrive_whole_is_refused_with_a_status() -> None:
    async def scenario(front: AsgiFront, _: Slow) -> None:
        wire = Wire([{"type": "http.request", "body": b"\0", "more_body": True}])
        await front(keyed("/s/M"), wire.receive, wire.send)
        assert wire.sent[0]["status"] == 200
        told = dict(wire.sent[0]["headers"])
        assert told[b"grpc-status"] == DEADLINE_EXCEEDED
        assert told[b"grpc-message"] == b"the request has not arrived whole within 0.01 s"

    assert against(scenario, read_timeout_s=0.01) == ["deadline"]


def test_what_has_arrived_and_what_streams_may_take_longer() -> None:
    async def scenario(front: AsgiFront, slow: Slow) -> None:
        arrived, late, stream = Wire(pieces(framed(b"a"))), Wire([]), Wire([])
        async with asyncio.TaskGroup() as group:
            group.create_task(front(keyed("/s/M", b"1"), arrived.receive, arrived.send))
            group.create_task(front(keyed("/s/S", b"2"), stream.receive, stream.send))
            group.create_task(front(keyed("/s/M", b"3"), late.receive, late.send))
            await late.answered.wait()
            assert not arrived.sent
            assert not stream.sent
            slow.go.set()
        assert arrived.sent[0]["status"] == stream.sent[0]["status"] == 200
        assert dict(late.sent[0]["headers"])[b"grpc-status"] == DEADLINE_EXCEEDED

    assert against(scenario, read_timeout_s=0.01) == ["deadline"]


def test_those_that_are_late_one_after_the_other_are_all_refused() -> None:
    async def scenario(front: AsgiFront, _: Slow) -> None:
        for _each in range(3):
            wire = Wire([])
            await front(keyed("/s/M", http=True), wire.receive, wire.send)
            assert wire.sent[0]["status"] == 408

    assert against(scenario, read_timeout_s=0.01) == ["deadline"] * 3
