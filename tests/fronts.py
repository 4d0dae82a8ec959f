"""A gateway of a configuration file, behind either front: in this process, or inside Envoy in another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal, TypeAlias

import pytest

from gateway.app import Gateway
from gateway.control.addresses import ListenOverrides
from gateway.control.source import ConfigFile
from gateway.front.process import EnvoyProcess, started_envoy

__all__ = ["BOTH", "Front", "listened", "listening"]

Front: TypeAlias = Literal["own", "envoy"]

BOTH = ["own", pytest.param("envoy", marks=pytest.mark.slow)]
"""Either front, for a fixture's or a test's parameter."""


@asynccontextmanager
async def listening(path: Path, front: Front) -> AsyncIterator[Mapping[str, str]]:
    """The addresses of a gateway configured at `path`, until the block ends."""
    if front == "own":
        file = ConfigFile(path)
        async with Gateway(file, file.load()) as gateway:
            yield gateway.addresses
        return
    async with started_envoy(path, ListenOverrides()) as envoy:
        await listened(envoy)
        yield envoy.addresses


async def listened(envoy: EnvoyProcess) -> None:
    """Wait, within bounds, until it listens."""
    host, _, port = envoy.addresses["rest"].rpartition(":")
    async with asyncio.timeout(120):
        while True:
            try:
                _, writer = await asyncio.open_connection(host, int(port))
            except ConnectionRefusedError:
                assert envoy.is_running, "Envoy has ended; its output says why"
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return
