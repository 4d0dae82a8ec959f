"""The gateway as a process of its own: it starts, serves, drains at SIGTERM and says what is wrong."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from tests.fakes.arithmetic import Arithmetic, Gate, serving
from tests.fakes.gateways import BACKENDS, LISTEN, MODELS

pytestmark = pytest.mark.slow

PATH = "/v1/models/tokens:predict"


@asynccontextmanager
async def process(path: Path, text: str) -> AsyncIterator[tuple[Process, dict[str, str]]]:
    """`tandem serve` with this configuration; its addresses once it is ready."""
    path.write_text(text)  # noqa: ASYNC240  # the loop has nothing else to do yet
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", "serve", str(path), stderr=PIPE, stdout=PIPE
    )
    assert child.stderr is not None
    try:
        async with asyncio.timeout(60):
            while True:
                line = json.loads(await child.stderr.readline())
                if line["event"] == "the gateway is ready":
                    break
        yield child, line
    finally:
        if child.returncode is None:
            child.kill()
        await child.communicate()


def against(tmp_path: Path, scenario: Callable[..., Awaitable[None]]) -> None:
    async def run() -> None:
        async with serving(Arithmetic()) as tf, serving(Arithmetic()) as torch:
            text = LISTEN + BACKENDS.format(tf=tf.address, torch=torch.address) + MODELS
            async with (
                process(tmp_path / "tandem.toml", text) as (child, addresses),
                httpx.AsyncClient(base_url=f"http://{addresses['rest']}", timeout=30) as client,
            ):
                await scenario(child, client, tf, addresses["admin"])

    asyncio.run(run())


def test_sigterm_answers_what_was_accepted_and_exits_0(tmp_path: Path) -> None:
    async def scenario(
        child: Process, client: httpx.AsyncClient, tf: Arithmetic, admin: str
    ) -> None:
        gate = Gate()
        tf.fault = gate
        async with asyncio.TaskGroup() as group:
            asked = [
                group.create_task(client.post(PATH, json={"instances": [[n]]})) for n in range(20)
            ]
            await gate.reached()
            # One batch is held at the backend; the others wait in the queue, every one accepted.
            while await rows_queued(admin) < 20 - sum(tf.batches):  # noqa: ASYNC110  # another process
                await asyncio.sleep(0.01)
            child.send_signal(signal.SIGTERM)
            gate.opened.set()
        assert [task.result().json() for task in asked] == [{"predictions": [n]} for n in range(20)]
        async with asyncio.timeout(30):
            assert await child.wait() == 0

    against(tmp_path, scenario)


async def rows_queued(admin: str) -> float:
    async with httpx.AsyncClient() as client:
        text = (await client.get(f"http://{admin}/metrics")).text
    found = re.search(r'tandem_queued_rows\{arm="tf",model="tokens",role="primary"\} (\S+)', text)
    assert found is not None
    return float(found[1])


def test_steady_traffic_over_sigterm_sees_answers_or_a_closed_door(tmp_path: Path) -> None:
    """Every request is answered right, or its connection was refused or closed before it was sent."""

    async def scenario(child: Process, client: httpx.AsyncClient, *_: object) -> None:
        wrong: list[str] = []
        answered = 0

        async def caller(number: int) -> None:
            nonlocal answered
            while True:
                try:
                    answer = await client.post(PATH, json={"instances": [[number]]})
                except (httpx.ConnectError, httpx.RemoteProtocolError, httpx.ReadError):
                    return
                if answer.json() != {"predictions": [number]}:
                    wrong.append(answer.text)
                answered += 1

        async with asyncio.TaskGroup() as group:
            for number in range(16):
                group.create_task(caller(number))
            await asyncio.sleep(0.5)
            child.send_signal(signal.SIGTERM)
        assert not wrong
        assert answered > 16
        async with asyncio.timeout(30):
            assert await child.wait() == 0

    against(tmp_path, scenario)


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    async def scenario(child: Process, client: httpx.AsyncClient, tf: Arithmetic, _: str) -> None:
        tf.fault = gate = Gate()
        async with asyncio.TaskGroup() as group:
            asked = group.create_task(_failing(client))
            await gate.reached()
            child.send_signal(signal.SIGINT)
            while (await client.get("/v2/health/ready")).is_success:  # noqa: ASYNC110  # another process
                await asyncio.sleep(0.01)
            child.send_signal(signal.SIGINT)
            async with asyncio.timeout(30):
                assert await child.wait() == 1
        assert asked.result()

    against(tmp_path, scenario)


async def _failing(client: httpx.AsyncClient) -> bool:
    try:
        answer = await client.post(PATH, json={"instances": [[1]]})
    except httpx.HTTPError:
        return True
    return answer.is_error


@pytest.mark.parametrize(
    ("text", "status", "said"),
    [
        (
            "[backends]\n[models.m.arms.a]\nbackend = 'x'\n",
            2,
            r"tandem\.toml:3 +models\.m\.arms\.a\.backend +got 'x'",
        ),
        (
            "[listen]\nrest = '203.0.113.1:80'\n[backends]\n[models]\n",
            1,
            r"listen\.rest: cannot listen on 203\.0\.113\.1:80",
        ),
    ],
)
def test_what_it_cannot_do_is_one_clear_error(
    tmp_path: Path, text: str, status: int, said: str
) -> None:
    async def run() -> None:
        path = tmp_path / "tandem.toml"
        path.write_text(text)  # the loop has nothing else to do
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", "serve", str(path), stderr=PIPE, stdout=PIPE
        )
        async with asyncio.timeout(60):
            _, err = await child.communicate()
        assert child.returncode == status, err.decode()
        assert re.search(said, err.decode()), err.decode()
        assert "Traceback" not in err.decode()

    asyncio.run(run())
