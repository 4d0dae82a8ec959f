"""Requests as they take the direct way: head and body in one piece."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.servers.rest import RawRoutes
from tests.fakes.gateways import MODELS, Stack, running
from tests.http1.wire import Client

__all__ = ["OIP", "TFS", "against", "asked", "asked_alone", "connected", "post"]

TFS, OIP = "/v1/models/tokens:predict", "/v2/models/tokens/infer"


def against(
    path: Path,
    scenario: Callable[[Stack], Awaitable[None]],
    settings: str = "",
    models: str = MODELS,
) -> None:
    """Run a scenario in which whatever does not take the direct way gets 500.

    Most clients send heads and bodies apart, and so take the other one.
    """

    async def run() -> None:
        async with running(path / "tandem.toml", settings=settings, models=models) as stack:
            with pytest.MonkeyPatch.context() as patch:
                patch.delattr(RawRoutes, "__call__")
                await scenario(stack)

    asyncio.run(run())


@asynccontextmanager
async def connected(stack: Stack) -> AsyncIterator[Client]:
    host, _, port = stack.gateway.addresses["rest"].rpartition(":")
    client = Client(*await asyncio.open_connection(host, int(port)))
    try:
        yield client
    finally:
        client.abort()


def post(path: str, body: object, *more: str) -> bytes:
    text = json.dumps(body).encode()
    lines = [f"POST {path} HTTP/1.1", "host: x", *more, f"content-length: {len(text)}", "", ""]
    return "\r\n".join(lines).encode() + text


async def asked(client: Client, path: str, body: object, *more: str) -> tuple[int, Any]:
    """The status and the JSON of the answer to a request that is sent in one piece."""
    await client.send(post(path, body, *more))
    status, text = await client.answer()
    return status, json.loads(text)


async def asked_alone(stack: Stack, path: str, body: object, *more: str) -> tuple[int, Any]:
    """As `asked`, on a connection of its own."""
    async with connected(stack) as client:
        return await asked(client, path, body, *more)
