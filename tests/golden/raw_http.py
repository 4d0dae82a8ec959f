"""How is a request sent exactly as it was recorded? No client library would send some of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.golden.exchanges import RestExchange

TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


async def send(address: str, exchange: RestExchange) -> HttpAnswer:
    """Make the recorded call at `address`, on a connection of its own."""
    host, _, port = address.rpartition(":")
    async with asyncio.timeout(TIMEOUT_S):
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(_request(exchange))
            return await _read(reader, exchange.method)
        finally:
            writer.close()


async def converse(address: str, sent: Sequence[bytes]) -> list[HttpAnswer | None]:
    """What each of these gets on one connection; None once it is closed."""
    host, _, port = address.rpartition(":")
    answers: list[HttpAnswer | None] = []
    async with asyncio.timeout(TIMEOUT_S):
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            for request in sent:
                writer.write(request)
                try:
                    answers.append(await _read(reader, request.partition(b" ")[0].decode()))
                except (OSError, EOFError):
                    answers.append(None)
        finally:
            writer.close()
    return answers


def _request(exchange: RestExchange) -> bytes:
    headers = {"Host": "localhost", **exchange.headers}
    if exchange.body and "Transfer-Encoding" not in headers:
        headers.setdefault("Content-Length", str(len(exchange.body)))
    lines = [f"{exchange.method} {exchange.path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + exchange.body


async def _read(reader: asyncio.StreamReader, method: str) -> HttpAnswer:
    status = 100
    while status == 100:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        status = int(first.split(" ")[1])
    headers = {
        name.lower(): value.strip()
        for name, _, value in (line.partition(":") for line in lines if line)
    }
    length = 0 if method == "HEAD" else int(headers.get("content-length", "0"))
    return HttpAnswer(status, headers, await reader.readexactly(length))
