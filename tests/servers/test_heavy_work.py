"""Nobody waits for large JSON who need not; the worker process dies when it should, and only then."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable
from pathlib import Path

import pytest
import uvloop
from prometheus_client import CollectorRegistry

from gateway.errors import NotReady
from gateway.messages import Deadline
from gateway.servers.heavy import HeavyWork
from gateway.telemetry.metrics import Metrics
from tests.fakes.gateways import Stack, against, until
from tests.servers.large import MIB, SMALL, STUBBORN, TFS, busy, jobs, padded, work


def test_a_small_request_overtakes_a_large_one(tmp_path: Path) -> None:
    huge = b'{"instances": [[' + b"1," * (10 * MIB) + b"1], [1]]}"

    async def scenario(stack: Stack) -> None:
        ended = []

        async def send(name: str, body: bytes) -> int:
            status = (await stack.rest.post(TFS, content=body)).status_code
            ended.append(name)
            return status

        async with asyncio.TaskGroup() as group:
            large = group.create_task(send("large", huge))
            await busy(stack)
            assert await send("small", SMALL) == 200
            assert (await stack.admin.get("/healthz")).status_code == 200
            ended.append("health")
        # Read to its end: a row of ten million numbers, and one of one.
        assert large.result() == 400
        assert ended == ["small", "health", "large"]

    against(tmp_path, scenario)


def test_a_worker_that_dies_takes_one_request_with_it(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        async with asyncio.TaskGroup() as group:
            first = group.create_task(stack.rest.post(TFS, content=STUBBORN))
            pid = await busy(stack)
            second = group.create_task(stack.rest.post(TFS, content=padded(SMALL)))
            await busy(stack, 2)
            os.kill(pid, signal.SIGKILL)
        assert first.result().status_code == 500
        assert "reading or writing this large body died" in first.result().json()["error"]
        assert second.result().status_code == 200
        assert (jobs(stack), jobs(stack, "died")) == (1, 1)
        assert work(stack).worker_pid not in (None, pid)

    against(tmp_path, scenario)


def test_a_worker_that_died_idle_is_replaced_unnoticed(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        for _ in range(2):
            answer = await stack.rest.post(TFS, content=padded(SMALL))
            assert answer.status_code == 200
            pid = work(stack).worker_pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            # Blocks until the kernel is done with it, and leaves the burial to its parent.
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # noqa: ASYNC222
        assert jobs(stack, "died") == 0

    against(tmp_path, scenario)


def test_signals_for_the_gateway_do_not_end_its_worker(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        await stack.rest.post(TFS, content=padded(SMALL))
        pid = work(stack).worker_pid
        assert pid is not None
        assert os.getsid(pid) != os.getsid(0)
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(pid, number)
            assert (await stack.rest.post(TFS, content=padded(SMALL))).status_code == 200
        assert work(stack).worker_pid == pid

    against(tmp_path, scenario)


def test_the_deadline_ends_a_body_that_takes_too_long_to_read(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        for headers in ({"x-tandem-timeout-ms": "100"}, {"x-tandem-timeout-ms": "100000"}):
            late = await stack.rest.post(TFS, content=STUBBORN, headers=headers)
            assert late.status_code == 504
            assert work(stack).worker_pid is None
        assert (await stack.rest.post(TFS, content=padded(SMALL))).status_code == 200
        assert jobs(stack, "cut_short") == 2

    against(tmp_path, scenario, settings="[limits]\ndefault_timeout_s = 1.5\n")


def test_waiting_past_the_deadline_does_not_touch_the_worker(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        async with asyncio.TaskGroup() as group:
            first = group.create_task(stack.rest.post(TFS, content=STUBBORN))
            pid = await busy(stack)
            headers = {"x-tandem-timeout-ms": "50"}
            late = await stack.rest.post(TFS, content=padded(SMALL), headers=headers)
            assert late.status_code == 504
            assert work(stack).worker_pid == pid
            os.kill(pid, signal.SIGKILL)
        assert first.result().status_code == 500

    against(tmp_path, scenario)


def test_one_more_than_may_wait_is_refused_at_once(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(stack.rest.post(TFS, content=STUBBORN))
            pid = await busy(stack)
            refused = await stack.rest.post(TFS, content=padded(SMALL))
            assert refused.status_code == 429
            assert "limits.max_heavy_queued" in refused.json()["error"]
            assert (await stack.rest.post(TFS, content=SMALL)).status_code == 200
            os.kill(pid, signal.SIGKILL)
        assert (jobs(stack, "refused"), jobs(stack, "died")) == (1, 1)

    against(tmp_path, scenario, settings="[limits]\nmax_heavy_queued = 1\n")


def test_a_client_that_leaves_frees_the_worker(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        async with asyncio.TaskGroup() as group:
            first = group.create_task(stack.rest.post(TFS, content=STUBBORN))
            await busy(stack)
            waiting = group.create_task(stack.rest.post(TFS, content=STUBBORN))
            await busy(stack, 2)
            waiting.cancel()  # its work is dropped before it begins
            await busy(stack, 1)
            first.cancel()
            await until(lambda: stack.count("tandem_heavy_queued") == 0)
        assert work(stack).worker_pid is None
        await until(lambda: stack.count("tandem_requests_total", reason="caller_left") == 2)
        assert (await stack.rest.post(TFS, content=padded(SMALL))).status_code == 200
        assert (jobs(stack, "cut_short"), jobs(stack)) == (2, 1)

    against(tmp_path, scenario)


def test_no_worker_outlives_the_gateway(tmp_path: Path) -> None:
    pids: list[int] = []

    async def scenario(stack: Stack) -> None:
        assert work(stack).worker_pid is None  # nothing is started before it is needed
        await stack.rest.post(TFS, content=padded(SMALL))
        pid = work(stack).worker_pid
        assert pid is not None
        pids.append(pid)

    against(tmp_path, scenario)
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


SCRIPT = """
import asyncio, time
from prometheus_client import CollectorRegistry
from gateway.messages import Deadline
from gateway.servers.heavy import HeavyWork
from gateway.telemetry.metrics import Metrics

async def main():
    work = HeavyWork(Metrics(CollectorRegistry(), version="0"), max_queued=1)
    far = Deadline.after(asyncio.get_running_loop().time(), 600)
    await work.run(far, len, "a worker is there")
    print("busy", flush=True)
    await work.run(far, sum, range(10**12))

asyncio.run(main())
"""


def test_no_worker_outlives_a_gateway_that_is_killed() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"busy\n"
        process.kill()
        # The worker holds the same standard error, so this ends when both are gone.
        assert process.stderr.read() == b""


async def _work_alone() -> None:
    metrics = Metrics(CollectorRegistry(), version="0")
    far = Deadline.after(asyncio.get_running_loop().time(), 600)
    work = HeavyWork(metrics, max_queued=2)
    try:
        assert await work.run(far, int, "11", base=2) == 3
        with pytest.raises(RuntimeError, match=r"(?s)Traceback.*ValueError: invalid literal"):
            await work.run(far, int, "x")
        assert repr(work) == f"<HeavyWork 0 queued, worker {work.worker_pid}>"
        text = b"x" * (3 * MIB)
        assert await work.run(far, bytes.upper, text) == text.upper()
        async with asyncio.TaskGroup() as group:
            endless = group.create_task(_failure(work.run(far, sum, range(10**12))))
            waiting = group.create_task(_failure(work.run(far, int, "1")))
            await until(lambda: repr(work).startswith("<HeavyWork 2 queued"))
            await until(lambda: work.worker_pid is not None)
            work.close()
        assert "died" in str(endless.result())
        assert isinstance(waiting.result(), NotReady)
    finally:
        work.close()


async def _failure(awaited: Awaitable[object]) -> BaseException | None:
    try:
        await awaited
    except Exception as error:  # noqa: BLE001  # whatever it is, is the result
        return error
    return None


def test_it_works_on_both_event_loops_and_closes_in_the_middle_of_work() -> None:
    asyncio.run(_work_alone())
    uvloop.run(_work_alone())
