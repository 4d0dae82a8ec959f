"""Two backend processes as one backend, over TCP, TLS and Unix sockets: one is killed while requests flow."""

from __future__ import annotations

import asyncio
import re
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import pytest

from tests.addresses import free_port
from tests.backends.http_server import certificates
from tests.e2e.test_process import process
from tests.fakes.gateways import LISTEN

pytestmark = [pytest.mark.slow, pytest.mark.e2e]

SETTINGS = """
[backends.pair]
kind = "oip"
protocol = "{protocol}"
address = "{one}"
replicas = ["{other}"]
{tls}
[models.doubling.arms.only]
backend = "pair"
[models.doubling.batching]
max_in_flight = 4
max_batch_rows = 2
"""
TLS = """
[backends.pair.tls]
ca_file = "{0.ca}"
cert_file = "{0.client}"
key_file = "{0.client_key}"
server_name = "server.test"
"""
CALLERS = 12


@asynccontextmanager
async def backend(protocol: str, address: str, files: Sequence[str]) -> AsyncIterator[Process]:
    """A backend process that is ready; killed with the block, if not before."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.e2e.doubling", protocol, address, *files, stdout=PIPE
    )
    assert child.stdout is not None
    try:
        async with asyncio.timeout(60):
            assert await child.stdout.readline() == b"ready\n"
        yield child
    finally:
        if child.returncode is None:
            child.kill()
        await child.communicate()


class Traffic:
    """Callers that ask one after the other until they are told to stop."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self.answered = 0
        self.failed: list[str] = []
        self.stopped = False

    async def caller(self, number: int) -> None:
        tensor = {"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [number]}
        while not self.stopped:
            answer = await self._client.post("/v2/models/doubling/infer", json={"inputs": [tensor]})
            if answer.status_code != 200 or answer.json()["outputs"][0]["data"] != [2 * number]:
                self.failed.append(f"{answer.status_code} {answer.text}")
            self.answered += 1

    async def more(self, count: int) -> None:
        """Returns when so many more have been answered."""
        wanted = self.answered + count
        async with asyncio.timeout(60):
            while self.answered < wanted:  # noqa: ASYNC110  # the callers owe nobody an event
                await asyncio.sleep(0.005)


async def counted(admin: httpx.AsyncClient, name: str, replica: str, reason: str = "") -> float:
    """A metric of one replica, with that reason if it has one."""
    pattern = (
        rf'^tandem_replica_{name}\{{[^}}]*reason="{reason}"[^}}]*replica="{re.escape(replica)}"'
    )
    if not reason:
        pattern = rf'^tandem_replica_{name}\{{[^}}]*replica="{re.escape(replica)}"'
    text = (await admin.get("/metrics")).text
    return sum(
        float(line.rpartition(" ")[2]) for line in text.splitlines() if re.search(pattern, line)
    )


@pytest.mark.parametrize("over", ["tcp", "tls", "unix"])
@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_a_killed_replica_fails_no_request(tmp_path: Path, protocol: str, over: str) -> None:
    """What was on its way to it is answered by the other one; when it is back, it takes its share."""
    pems = certificates(tmp_path) if over == "tls" else None
    files = [str(file) for file in (pems.server, pems.server_key, pems.ca)] if pems else []
    one, other = (
        f"unix:{tmp_path}/{name}" if over == "unix" else f"127.0.0.1:{free_port()}"
        for name in ("one", "other")
    )
    tls = TLS.format(pems) if pems else ""
    text = LISTEN + SETTINGS.format(protocol=protocol, one=one, other=other, tls=tls)

    async def story() -> None:
        async with AsyncExitStack() as stack:
            dying = await stack.enter_async_context(backend(protocol, one, files))
            await stack.enter_async_context(backend(protocol, other, files))
            _, addresses = await stack.enter_async_context(process(tmp_path / "t.toml", text))
            rest, admin = [
                await stack.enter_async_context(
                    httpx.AsyncClient(base_url=f"http://{at}", timeout=30)
                )
                for at in (addresses["rest"], addresses["admin"])
            ]
            traffic = Traffic(rest)
            async with asyncio.TaskGroup() as group:
                for number in range(CALLERS):
                    group.create_task(traffic.caller(number))
                await traffic.more(200)
                dying.kill()
                await traffic.more(400)
                assert await counted(admin, "batches_total", one, "backend_unavailable") >= 1
                assert await counted(admin, "in", one) == 0
                before = await counted(admin, "batches_total", one, "ok")
                await stack.enter_async_context(backend(protocol, one, files))
                async with asyncio.timeout(60):
                    while await counted(admin, "batches_total", one, "ok") == before:
                        await traffic.more(20)
                traffic.stopped = True
            assert not traffic.failed
            assert await counted(admin, "batches_total", other, "ok") > 0

    asyncio.run(story())
