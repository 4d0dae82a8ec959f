"""A gateway inside Envoy, a process of its own, in front of `arithmetic` backends in this one."""

from __future__ import annotations

import asyncio
import dataclasses
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import grpc
import httpx
import numpy as np

from gateway.control.addresses import ListenOverrides
from gateway.front.process import Certificate, EnvoyProcess, started_envoy
from gateway.messages import InferRequest
from gateway.tensors import Tensor
from tests.fakes.arithmetic import Arithmetic, Gate, serving
from tests.fakes.gateways import BACKENDS, LISTEN, MODELS, one_in_flight
from tests.fronts import listened

__all__ = [
    "PATH",
    "PREDICT",
    "REQUEST",
    "TOKENS",
    "Behind",
    "against",
    "behind_envoy",
    "count",
    "predict",
    "queued",
    "until",
]

PATH = "/v1/models/tokens:predict"
PREDICT = "/tensorflow.serving.PredictionService/Predict"
ANY_SIZE = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
REQUEST = InferRequest(
    model="floats", inputs=(Tensor("x", "FP32", np.array([[1, 2, 3, 4]], np.float32)),)
)
TOKENS = InferRequest(model="tokens", inputs=(Tensor("ids", "INT64", np.array([[1, 2]])),))


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
    models: str = MODELS,
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
        text = one_in_flight(LISTEN + settings + BACKENDS.format(**addresses) + models)
        path.write_text(text)  # noqa: ASYNC240 - the loop has nothing else to do yet
        envoy = await stack.enter_async_context(started_envoy(path, ListenOverrides(), certificate))
        scheme = "https" if certificate else "http"
        verify: ssl.SSLContext | bool = True
        if certificate:
            verify = ssl.create_default_context(cafile=str(certificate.chain))
        rest = httpx.AsyncClient(
            base_url=f"{scheme}://{envoy.addresses['rest']}", timeout=30, verify=verify
        )
        admin = httpx.AsyncClient(base_url=f"http://{envoy.addresses['admin']}", timeout=30)
        await stack.enter_async_context(rest)
        await stack.enter_async_context(admin)
        await listened(envoy)
        yield Behind(envoy=envoy, backends=served, rest=rest, admin=admin)


def against(
    path: Path,
    scenario: Callable[[Behind, grpc.aio.Channel], Awaitable[None]],
    settings: str = "",
    fault: Gate | None = None,
) -> None:
    async def run() -> None:
        backends = {"tf": Arithmetic(fault=fault), "torch": Arithmetic()}
        async with (
            behind_envoy(path / "tandem.toml", settings=settings, backends=backends) as behind,
            grpc.aio.insecure_channel(behind.grpc, options=ANY_SIZE) as channel,
        ):
            await scenario(behind, channel)
            await behind.envoy.stop()
            assert await behind.envoy.wait() == 0

    asyncio.run(run())


def predict(channel: grpc.aio.Channel) -> grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]:
    return channel.unary_unary(PREDICT)


async def count(behind: Behind, name: str, **labels: str) -> float:
    """The sum of a metric's samples that have these labels."""
    text = (await behind.admin.get("/metrics")).text
    total = 0.0
    for told, value in re.findall(rf"^{name}(?:{{(.*)}})? (\S+)$", text, re.MULTILINE):
        if all(f'{key}="{wanted}"' in told for key, wanted in labels.items()):
            total += float(value)
    return total


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await condition():  # noqa: ASYNC110  # it is seen from another process
            await asyncio.sleep(0.01)


async def queued(behind: Behind, rows: int) -> bool:
    return await count(behind, "tandem_queued_rows", model="tokens") == rows
