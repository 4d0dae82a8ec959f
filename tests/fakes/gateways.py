"""A real gateway in this process, on free ports, in front of `arithmetic` backends."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import tomlkit

from gateway.app import Gateway
from gateway.control.source import ConfigFile
from gateway.telemetry.metrics import sample_values
from tests.fakes.arithmetic import Arithmetic, serving

__all__ = ["Stack", "against", "one_in_flight", "running", "sample", "until"]

LISTEN = """
[listen]
rest = "127.0.0.1:0"
grpc = "127.0.0.1:0"
admin = "127.0.0.1:0"
"""

BACKENDS = """
[backends.tf]
kind = "tfserving"
address = "{tf}"

[backends.torch]
kind = "oip"
address = "{torch}"
"""

MODELS = """
[models.floats.arms.tf]
backend = "tf"
weight = 50
[models.floats.arms.torch]
backend = "torch"
weight = 50

[models.tokens.arms.tf]
backend = "tf"

[models.pairs.arms.torch]
backend = "torch"
"""


@dataclasses.dataclass
class Stack:
    """What is running, and clients to reach it."""

    gateway: Gateway
    path: Path
    backends: Mapping[str, Arithmetic]
    rest: httpx.AsyncClient
    admin: httpx.AsyncClient

    @property
    def grpc(self) -> str:
        return self.gateway.addresses["grpc"]

    def count(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels."""
        return sample(self.gateway, name, **labels)


def sample(gateway: Gateway, name: str, **labels: str) -> float:
    """The sum of a metric's samples that have these labels."""
    wanted = set(labels.items())
    values = sample_values(gateway.metrics, name)
    return sum(value for key, value in values.items() if wanted <= set(key))


def one_in_flight(text: str) -> str:
    """A configuration whose models have one batch in flight each, where they say nothing of it.

    So that what comes while a batch is at the backend waits for its end, and tests can count on it.
    """
    document = tomlkit.parse(text)
    for model in document.get("models", {}).values():
        batching = model.setdefault("batching", {})
        if "min_in_flight" not in batching:
            batching.setdefault("max_in_flight", 1)
    return tomlkit.dumps(document)


@asynccontextmanager
async def running(
    path: Path,
    *,
    models: str = MODELS,
    settings: str = "",
    backends: Mapping[str, Arithmetic] | None = None,
) -> AsyncIterator[Stack]:
    """A gateway configured at `path` (written here), with its backends, until the block ends."""
    served = backends or {"tf": Arithmetic(), "torch": Arithmetic()}
    async with AsyncExitStack() as stack:
        for backend in served.values():
            await stack.enter_async_context(serving(backend))
        addresses = {name: backend.address for name, backend in served.items()}
        # Blocking, but the loop has nothing else to do yet.
        text = one_in_flight(LISTEN + settings + BACKENDS.format(**addresses) + models)
        path.write_text(text)  # noqa: ASYNC240
        file = ConfigFile(path)
        gateway = await stack.enter_async_context(Gateway(file, file.load()))
        yield Stack(
            gateway=gateway,
            path=path,
            backends=served,
            rest=await stack.enter_async_context(_client(gateway.addresses["rest"])),
            admin=await stack.enter_async_context(_client(gateway.addresses["admin"])),
        )


def against(
    folder: Path,
    scenario: Callable[[Stack], Awaitable[None]],
    *,
    models: str = MODELS,
    settings: str = "",
    backends: Mapping[str, Arithmetic] | None = None,
) -> None:
    """Play a scenario before a gateway that is configured in `folder`."""

    async def run() -> None:
        path = folder / "tandem.toml"
        async with running(path, models=models, settings=settings, backends=backends) as stack:
            await scenario(stack)

    asyncio.run(run())


async def until(condition: Callable[[], bool]) -> None:
    """Wait, within bounds, for a state that can only be seen from outside."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  # nobody inside the gateway owes the tests an event
            await asyncio.sleep(0.001)


def _client(address: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"http://{address}", timeout=30)
