"""`tandem serve --workers N` as users run it, in front of `arithmetic` backends."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from gateway.messages import InferRequest, InferResponse
from tests.fakes.arithmetic import Arithmetic, serving
from tests.fakes.gateways import BACKENDS, LISTEN, MODELS

__all__ = ["ONE_SLOT", "PREDICT", "Counting", "Crew", "against", "answers", "holder"]

PREDICT = "/v1/models/tokens:predict"

_READY_S = 120

ONE_SLOT = (
    MODELS
    + """
[models.tokens.batching]
max_in_flight = 1
"""
)


class Counting:
    """A fault that counts the batches at the backend, and holds them until it is opened."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.now = self.most = self.came = 0

    async def __call__(self, _: InferRequest) -> InferResponse | None:
        self.now += 1
        self.came += 1
        self.most = max(self.most, self.now)
        try:
            await self.opened.wait()
            await asyncio.sleep(0.01)  # the model's work: what the next batch gathers in
        finally:
            self.now -= 1
        return None


@dataclass
class Crew:
    """What runs, where it is reached, and all that it has written to its log."""

    process: Process
    addresses: dict[str, str]
    path: Path
    backend: Arithmetic
    admin: httpx.AsyncClient
    log: list[dict[str, Any]]

    def pids(self) -> dict[int, int]:
        """The newest process of every worker."""
        return {
            line["worker"]: line["pid"] for line in self.log if line["event"] == "a worker is up"
        }

    @asynccontextmanager
    async def client(self) -> AsyncIterator[httpx.AsyncClient]:
        """A client with connections of its own."""
        async with httpx.AsyncClient(
            base_url=f"http://{self.addresses['rest']}", timeout=30
        ) as client:
            yield client

    async def predict(self, number: int) -> httpx.Response:
        """One request, on a connection of its own."""
        async with self.client() as client:
            return await client.post(PREDICT, json={"instances": [[number]]})

    async def metrics(self) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
        """Every sample by its name and its sorted labels."""
        text = (await self.admin.get("/metrics")).text
        found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels = tuple(sorted(sample.labels.items()))
                assert labels not in found.get(sample.name, {}), "a series is told once"
                found.setdefault(sample.name, {})[labels] = sample.value
        return found

    async def total(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels."""
        wanted = set(labels.items())
        found = (await self.metrics()).get(name, {})
        return sum(value for key, value in found.items() if wanted <= set(key))

    async def until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        """Wait, within bounds, for a state that can only be seen from outside."""
        async with asyncio.timeout(60):
            while not await condition():  # noqa: ASYNC110  # another process
                await asyncio.sleep(0.02)

    async def until_accepted(self, count: int) -> None:
        """Wait until so many requests are in flight, in all workers."""

        async def is_so() -> bool:
            return await self.total("tandem_in_flight_requests") == count

        await self.until(is_so)

    async def ends(self) -> int:
        """Wait until the supervisor has ended; its exit status."""
        async with asyncio.timeout(60):
            return await self.process.wait()

    async def until_logged(self, event: str, times: int = 1) -> None:
        """Wait until the log has told this so often."""

        async def is_logged() -> bool:
            return len([line for line in self.log if line["event"] == event]) >= times

        await self.until(is_logged)


@asynccontextmanager
async def _running(path: Path, models: str, settings: str, workers: int) -> AsyncIterator[Crew]:
    async with AsyncExitStack() as stack:
        tf = await stack.enter_async_context(serving(Arithmetic()))
        torch = await stack.enter_async_context(serving(Arithmetic()))
        text = LISTEN + settings + BACKENDS.format(tf=tf.address, torch=torch.address) + models
        path.write_text(text)  # noqa: ASYNC240  # the loop has nothing else to do yet
        argv = [sys.executable, "-m", "gateway", "serve", str(path), "--workers", str(workers)]
        process = await asyncio.create_subprocess_exec(*argv, stderr=PIPE)
        log: list[dict[str, Any]] = []
        ready: asyncio.Future[dict[str, str]] = asyncio.get_running_loop().create_future()
        async with asyncio.TaskGroup() as group:
            group.create_task(_read(process, log, ready))
            try:
                async with asyncio.timeout(_READY_S):
                    addresses = await ready
                client = httpx.AsyncClient(base_url=f"http://{addresses['admin']}", timeout=30)
                admin = await stack.enter_async_context(client)
                yield Crew(process, addresses, path, tf, admin, log)
            finally:
                if process.returncode is None:
                    process.kill()  # the kernel tells the workers
                await process.wait()


async def _read(
    process: Process, log: list[dict[str, Any]], ready: asyncio.Future[dict[str, str]]
) -> None:
    assert process.stderr is not None
    async for written in process.stderr:
        if not written.startswith(b"{"):
            log.append({"event": written.decode()})
            continue
        line = json.loads(written)
        log.append(line)
        if line["event"] == "the gateway is ready":
            ready.set_result(line)
    if not ready.done():
        ready.set_exception(AssertionError(f"it ended: {log}"))


def against(
    tmp_path: Path,
    scenario: Callable[[Crew], Awaitable[None]],
    *,
    models: str = MODELS,
    settings: str = "",
    workers: int = 2,
) -> None:
    """Run the scenario against workers that have all come up."""

    async def run() -> None:
        async with _running(tmp_path / "tandem.toml", models, settings, workers) as crew:
            await scenario(crew)

    asyncio.run(run())


async def answers(crew: Crew, number: int) -> bool:
    """Whether a request is answered, and right; False if its connection is cut."""
    try:
        answer = await crew.predict(number)
    except (httpx.RemoteProtocolError, httpx.ReadError):
        return False
    return bool(answer.json() == {"predictions": [number]})


async def holder(crew: Crew) -> int:
    """The worker whose batch is at the backend."""
    folder: dict[int, str] = {
        line["worker"]: line["admin"] for line in crew.log if "unix:" in line.get("admin", "")
    }
    for number, admin in folder.items():
        transport = httpx.AsyncHTTPTransport(uds=admin.removeprefix("unix:"))
        async with httpx.AsyncClient(transport=transport, base_url="http://worker") as client:
            text = (await client.get("/metrics")).text
        if 'tandem_in_flight_batches{arm="tf",model="tokens",role="primary"} 1.0' in text:
            return number
    raise AssertionError("no worker has a batch at the backend")
