"""gRPC methods as an ASGI application, without a server: what is sent for what is received."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable
from typing import Any

import pytest

from gateway.servers.grpc_asgi import GrpcApp, is_grpc
from gateway.servers.grpc_calls import Call, Messages, Refusal, Served
from gateway.servers.grpc_frames import framed
from tests.servers.asgi import Message, Wire, pieces, scope

MOST = 100


async def echo(data: bytes, call: Call) -> bytes:
    call.trailing = [("x-said", call.metadata.get("x-say") or "nothing")]
    return data


async def refuse(_: bytes, call: Call) -> bytes:
    call.trailing = [("x-request-id", "1")]
    raise Refusal("NOT_FOUND", "no ö, 100 %", [("grpc-retry-pushback-ms", "5")])


async def fail(_: bytes, __: Call) -> bytes:
    raise LookupError("of ours")


async def remaining(_: bytes, call: Call) -> bytes:
    left_s = call.time_remaining()
    return b"none" if left_s is None else b"%d" % round(left_s)


async def double(requests: Messages, call: Call) -> None:
    async for data in requests:
        if data == b"stop":
            raise Refusal("UNAVAILABLE", "the gateway is draining")
        await call.write(data + data)


async def never(_: Messages, __: Call) -> None:
    await asyncio.get_running_loop().create_future()


async def in_a_group(requests: Messages, call: Call) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(double(requests, call))


def served(
    unknown: Callable[[str], Refusal] = lambda path: Refusal("UNIMPLEMENTED", path),
) -> Served:
    return Served(
        {"/s/Echo": echo, "/s/Refuse": refuse, "/s/Fail": fail, "/s/Remaining": remaining},
        {"/s/Double": double, "/s/Never": never, "/s/Group": in_a_group},
        unknown,
    )


def asked(asked_scope: Message, *coming: Message) -> Wire:
    """What the application sent for a call."""

    async def run() -> Wire:
        clock = asyncio.get_running_loop().time
        wire = Wire(coming)
        app = GrpcApp(served(), max_message_bytes=MOST, clock=clock)
        async with asyncio.timeout(20):
            await app(asked_scope, wire.receive, wire.send)
        return wire

    return asyncio.run(run())


def test_an_answer_is_a_head_a_framed_message_and_trailers() -> None:
    wire = asked(scope("/s/Echo", (b"x-say", b"hi")), *pieces(framed(b"abc")))
    start, body, trailers = wire.sent
    assert start["status"] == 200
    assert start["trailers"]
    assert wire.head[b"content-type"] == b"application/grpc"
    assert body == {"type": "http.response.body", "body": framed(b"abc")}
    assert trailers["headers"] == [(b"grpc-status", b"0"), (b"x-said", b"hi")]


@pytest.mark.parametrize("body", [b"", b"x" * (2 * MOST)])
def test_a_message_may_come_in_pieces(body: bytes) -> None:
    whole = framed(body)
    wire = asked(scope("/s/Echo"), *pieces(whole[:3], whole[3:7], b"", whole[7:]))
    assert wire.body == whole


def test_a_compressed_message_is_inflated() -> None:
    small = gzip.compress(b"abc")
    body = b"\1" + len(small).to_bytes(4, "big") + small
    wire = asked(scope("/s/Echo", (b"grpc-encoding", b"gzip")), *pieces(body))
    assert wire.body == framed(b"abc")


def test_binary_metadata_is_no_text() -> None:
    wire = asked(scope("/s/Echo", (b"x-say-bin", b"AP8"), (b"x-say", b"a")), *pieces(framed(b"")))
    assert wire.status[b"x-said"] == b"a"


def test_a_refusal_is_told_in_the_head() -> None:
    wire = asked(scope("/s/Refuse"), *pieces(framed(b"")))
    start, body = wire.sent
    assert not start.get("trailers", False)
    assert wire.head == {
        b"content-type": b"application/grpc",
        b"grpc-accept-encoding": b"identity, deflate, gzip",
        b"grpc-status": b"5",
        b"grpc-message": b"no %C3%B6, 100 %25",
        b"x-request-id": b"1",
        b"grpc-retry-pushback-ms": b"5",
    }
    assert body == {"type": "http.response.body", "body": b""}


def test_a_failure_of_ours_is_internal_and_says_no_more_than_its_kind() -> None:
    status = asked(scope("/s/Fail"), *pieces(framed(b""))).status
    assert status[b"grpc-status"] == b"13"
    assert status[b"grpc-message"] == b"internal error: LookupError"


def test_an_unknown_method_is_unimplemented() -> None:
    wire = asked(scope("/s/Nothing"))
    assert wire.status[b"grpc-status"] == b"12"


def test_a_call_is_a_post() -> None:
    wire = asked(scope("/s/Echo", method="GET"))
    assert wire.sent[0]["status"] == 405
    assert wire.head[b"allow"] == b"POST"


@pytest.mark.parametrize(
    ("coming", "code"),
    [
        (pieces(b""), b"12"),
        (pieces(framed(b"a"), framed(b"b")), b"12"),
        (pieces(framed(b"a")[:-1]), b"13"),
        (pieces(framed(b"x" * (2 * MOST + 1))), b"8"),
        # Refused before its end, which never comes.
        ([{"type": "http.request", "body": bytes(3 * MOST), "more_body": True}], b"8"),
    ],
)
def test_what_is_not_one_message_is_refused(coming: list[Message], code: bytes) -> None:
    assert asked(scope("/s/Echo"), *coming).status[b"grpc-status"] == code


@pytest.mark.parametrize("path", ["/s/Echo", "/s/Double", "/s/Group"])
def test_a_client_that_left_in_the_middle_is_told_nothing(path: str) -> None:
    begun = {"type": "http.request", "body": b"\0", "more_body": True}
    assert asked(scope(path), begun, {"type": "http.disconnect"}).sent == []


def test_the_deadline_is_the_clients() -> None:
    with_one = scope("/s/Remaining", (b"grpc-timeout", b"90S"))
    assert asked(with_one, *pieces(framed(b""))).body == framed(b"90")
    assert asked(scope("/s/Remaining"), *pieces(framed(b""))).body == framed(b"none")


@pytest.mark.parametrize("path", ["/s/Double", "/s/Group"])
def test_a_stream_answers_each_message_and_ends_with_trailers(path: str) -> None:
    wire = asked(scope(path), *pieces(framed(b"a") + framed(b"b")[:2], framed(b"b")[2:]))
    assert wire.body == framed(b"aa") + framed(b"bb")
    assert wire.status == {b"grpc-status": b"0"}


@pytest.mark.parametrize("path", ["/s/Double", "/s/Group"])
def test_a_stream_is_refused_in_its_trailers_once_it_has_begun(path: str) -> None:
    wire = asked(scope(path), *pieces(framed(b"a"), framed(b"stop"), b""))
    assert wire.body == framed(b"aa")
    assert wire.sent[-1]["type"] == "http.response.trailers"
    assert wire.status[b"grpc-status"] == b"14"


def test_a_stream_with_no_answer_still_has_a_head_and_trailers() -> None:
    wire = asked(scope("/s/Double"), *pieces(b""))
    assert [m["type"] for m in wire.sent] == [
        "http.response.start",
        "http.response.body",
        "http.response.trailers",
    ]


@pytest.mark.parametrize("path", ["/s/Double", "/s/Group"])
def test_a_stream_that_ends_within_a_message_is_internal(path: str) -> None:
    wire = asked(scope(path), *pieces(framed(b"a") + b"\0"))
    assert wire.status[b"grpc-status"] == b"13"


def test_a_stream_ends_at_its_deadline() -> None:
    wire = asked(scope("/s/Never", (b"grpc-timeout", b"10m")))
    assert wire.status[b"grpc-status"] == b"4"


def test_a_client_that_no_longer_reads_ends_its_stream() -> None:
    async def run() -> None:
        async def send(_: Message) -> None:
            raise ConnectionError

        wire = Wire(pieces(framed(b"a"), b""))
        clock = asyncio.get_running_loop().time
        app = GrpcApp(served(), max_message_bytes=MOST, clock=clock)
        await app(scope("/s/Double"), wire.receive, send)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("content_type", "version", "expected"),
    [
        (b"application/grpc", "2", True),
        (b"application/grpc+proto", "2", True),
        (b"application/grpc; charset=x", "3", True),
        (b"application/grpc-web", "2", False),
        (b"application/json", "2", False),
        (b"application/grpc", "1.1", False),
    ],
)
def test_what_is_grpc(content_type: bytes, version: str, *, expected: bool) -> None:
    asked_scope: dict[str, Any] = {
        "http_version": version,
        "headers": [(b"host", b"a"), (b"content-type", content_type)],
    }
    assert is_grpc(asked_scope) is expected
    assert not is_grpc({"http_version": version, "headers": []})
