"""Clients that send too much head, or send too slowly: refused within bounds, and nobody else waits."""

from __future__ import annotations

import asyncio
from pathlib import Path

import orjson
import pytest

from tests.fakes.gateways import Stack, against, until

POST = b"POST /v1/models/floats:predict HTTP/1.1\r\nhost: x\r\n"


async def answer_to(stack: Stack, *parts: bytes) -> bytes:
    """All that comes back on one connection, which the gateway must end."""
    host, _, port = stack.gateway.addresses["rest"].rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        async with asyncio.timeout(20):
            for part in parts:
                writer.write(part)
                await writer.drain()
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


def test_an_endless_head_is_refused_early(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        answer = await answer_to(stack, POST, b"x-filler: ", b"a" * 70_000)
        assert answer.startswith(b"HTTP/1.1 431 ")
        assert b"65536 bytes" in answer
        await until(
            lambda: stack.count("tandem_requests_total", dialect="", reason="body_too_large") == 1
        )
        # Far more than that is cut off before it is read: a reset, or the same answer.
        flood = await answer_to(stack, POST, *[b"a" * 2**20] * 64)
        assert flood == b"" or flood.startswith(b"HTTP/1.1 4")
        assert (await stack.rest.get("/v2/health/live")).status_code == 200

    against(tmp_path, scenario)


@pytest.mark.parametrize("sent", [b"POST /v1/mod", POST + b"content-length: 100\r\n\r\n{"])
def test_a_request_that_never_arrives_whole_is_timed_out(tmp_path: Path, sent: bytes) -> None:
    async def scenario(stack: Stack) -> None:
        answer = await answer_to(stack, sent)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"within 0.2 s" in answer
        if b"content-length" in sent:
            await until(lambda: stack.count("tandem_requests_total", reason="caller_left") == 1)

    against(tmp_path, scenario, settings="[limits]\ndefault_timeout_s = 0.2\n")


def test_a_request_in_two_pieces_is_served(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        body = b'{"instances": [[1, 2, 3, 4]]}'
        head = POST + b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
        answer = await answer_to(stack, head[:20], head[20:] + body[:5], body[5:])
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"[3.0,5.0,7.0,9.0]" in answer

    against(tmp_path, scenario)


def test_what_is_no_http_is_refused_in_json_and_counted_once(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        answer = await answer_to(stack, b"HELO gateway\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert orjson.loads(answer.partition(b"\r\n\r\n")[2]) == {
            "error": "Invalid HTTP request received."
        }
        assert stack.count("tandem_requests_total", dialect="", reason="invalid_request") == 1

    against(tmp_path, scenario)
