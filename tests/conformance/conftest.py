"""One gateway behind each front for all cases, in front of one scripted TF Serving, on a loop of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.conformance.scripted import Scripted, serving
from tests.fronts import BOTH, Front, listening

CONFIG = """
[listen]
rest = "127.0.0.1:0"
grpc = "127.0.0.1:0"
admin = "127.0.0.1:0"

[backends.tf]
kind = "tfserving"
address = "{address}"

[models.m.arms.tf]
backend = "tf"

[models.half_plus_two]
labels = {{ stable = 123 }}
[models.half_plus_two.arms.tf]
backend = "tf"
version = 123
"""


@dataclass(frozen=True)
class Running:
    """A gateway that runs, a client of its REST port, and what its backend has seen."""

    client: httpx.Client
    backend: Scripted


class _Loop:
    """Runs the gateway in a thread, from `start` until `stop`."""

    def __init__(self, path: Path, front: Front) -> None:
        self.backend = Scripted()
        self.address = ""
        self._path = path
        self._front = front
        self._started = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),))

    def start(self) -> None:
        self._thread.start()
        assert self._started.wait(60), "the gateway did not start"

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(60)
        self._loop.close()

    async def _run(self) -> None:
        async with serving(self.backend) as backend:
            self._path.write_text(CONFIG.format(address=backend.address))
            async with listening(self._path, self._front) as addresses:
                self.address = addresses["rest"]
                self._started.set()
                await self._stop.wait()


@pytest.fixture(scope="module", params=BOTH)
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    loop = _Loop(tmp_path_factory.mktemp("gateway") / "tandem.toml", request.param)
    loop.start()
    try:
        with httpx.Client(base_url=f"http://{loop.address}", timeout=60) as client:
            yield Running(client, loop.backend)
    finally:
        loop.stop()
