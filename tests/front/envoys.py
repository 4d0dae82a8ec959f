"""A gateway inside Envoy, a process of its own, in front of `arithmetic` backends in this one."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx

from gateway.control.addresses import ListenOverrides
from gateway.front.process import Certificate, EnvoyProcess, started_envoy
from tests.fakes.arithmetic import Arithmetic, serving
from tests.fakes.gateways import BACKENDS, LISTEN, MODELS

__all__ = ["Behind", "behind_envoy", "ready"]


@dataclasses.dataclass
class Behind:
    """What is running, and clients to reach it."""

    envoy: EnvoyProcess
    backends: Mapping[str, Arithmetic]
    rest: httpx.AsyncClient
    admin: httpx.AsyncClient

    @property
    def grpc(self) -> str:
        return self.envoy.addresses["grpc"]


@asynccontextmanager
async def behind_envoy(
    path: Path,
    *,
    settings: str = "",
    backends: Mapping[str, Arithmetic] | None = None,
    certificate: Certificate | None = None,
) -> AsyncIterator[Behind]:
    """A gateway configured at `path` (written here), with its backends, until the block ends."""
    served = backends or {"tf": Arithmetic(), "torch": Arithmetic()}
    async with AsyncExitStack() as stack:
        for backend in served.values():
            await stack.enter_async_context(serving(backend))
        addresses = {name: backend.address for name, backend in served.items()}
        text = LISTEN + settings + BACKENDS.format(**addresses) + MODELS
        path.write_text(text)  # noqa: ASYNC240 - the loop has nothing else to do yet
        envoy = await stack.enter_async_context(started_envoy(path, ListenOverrides(), certificate))
        scheme = "https" if certificate else "http"
        verify = not certificate
        rest = httpx.AsyncClient(
            base_url=f"{scheme}://{envoy.addresses['rest']}", timeout=30, verify=verify
        )
        admin = httpx.AsyncClient(base_url=f"http://{envoy.addresses['admin']}", timeout=30)
        await stack.enter_async_context(rest)
        await stack.enter_async_context(admin)
        await ready(rest)
        yield Behind(envoy=envoy, backends=served, rest=rest, admin=admin)


async def ready(rest: httpx.AsyncClient) -> None:
    """Wait, within bounds, until Envoy listens."""
    async with asyncio.timeout(30):
        while True:
            try:
                await rest.get("/v2/health/ready")
            except httpx.ConnectError:
                await asyncio.sleep(0.02)
            else:
                return
