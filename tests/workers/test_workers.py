"""Several processes serve as one gateway: one address, one set of books, one drain."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import TypeAlias

import grpc
import httpx
import pytest

from gateway._stubs import oip_wire_pb2 as pb
from tests.fakes.arithmetic import Gate
from tests.workers.processes import PREDICT, Crew, against

Ask: TypeAlias = "grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]"

pytestmark = pytest.mark.slow


def test_workers_share_the_ports_the_books_and_the_configuration(tmp_path: Path) -> None:
    async def scenario(crew: Crew) -> None:
        await spread_evenly(crew)
        await merged_books(crew)
        await reloaded_everywhere(crew)

    against(tmp_path, scenario)


async def spread_evenly(crew: Crew) -> None:
    answers = [await crew.predict(n) for n in range(20)]
    assert [a.json() for a in answers] == [{"predictions": [n]} for n in range(20)]
    for worker in ("0", "1"):
        assert await crew.total("tandem_worker_connections_total", worker=worker) == 10


async def merged_books(crew: Crew) -> None:
    """What was asked of either worker, over REST and gRPC, is in one set of metrics and statistics."""
    metrics = await crew.metrics()
    requests = metrics["tandem_requests_total"]
    assert sum(requests.values()) == 20
    assert sum(metrics["tandem_request_duration_seconds_count"].values()) == 20
    assert metrics["tandem_workers"][()] == 2
    for name in ("tandem_worker_restarts_total", "tandem_worker_hangs_total"):
        assert list(metrics[name].values()) == [0, 0]  # so that the first one is an increase
    assert len(metrics["tandem_build_info"]) == 1
    assert metrics["process_cpu_seconds_total"][()] > 0
    ready = await crew.admin.get("/readyz?complete=true")
    assert ready.json() == {"ready": True, "workers": {"ready": 2, "of": 2}}
    for path in ("/nothing", "/admin/nothing"):
        error = (await crew.admin.get(path)).json()["error"]
        assert error.startswith(f"GET {path}: Not Found, served here: /admin/models, ")
    async with crew.client() as client:
        (told,) = (await client.get("/v2/models/tokens/stats")).json()["model_stats"]
        assert (await client.get("/v2/models/none/stats")).status_code == 404
    assert told["inference_stats"]["success"]["count"] == 20
    for _ in range(4):  # whichever worker is asked
        async with grpc.aio.insecure_channel(
            crew.addresses["grpc"], options=[("grpc.use_local_subchannel_pool", 1)]
        ) as channel:
            ask: Ask = channel.unary_unary("/inference.GRPCInferenceService/ModelStatistics")
            answer = await ask(pb.ModelStatisticsRequest(name="tokens").SerializeToString())
        (one,) = pb.ModelStatisticsResponse.FromString(answer).model_stats
        assert one.inference_stats.success.count == 20


async def reloaded_everywhere(crew: Crew) -> None:
    """A new weight is told when every worker has it; a bad file is told and changes none."""
    text = crew.path.read_text()
    crew.path.write_text(text.replace("weight = 50", "weight = 7", 1))

    async def has_changed() -> bool:
        found = (await crew.admin.get("/admin/models")).json()
        (model,) = [one for one in found["models"] if one["name"] == "floats"]
        return {arm["name"]: arm["weight"] for arm in model["arms"]} == {"tf": 7, "torch": 50}

    await crew.until(has_changed)
    assert await crew.total("tandem_config_reloads_total", outcome="applied") == 2
    crew.path.write_text(text.replace("weight = 50", "weight = 'much'", 1))

    async def is_refused() -> bool:
        return await crew.total("tandem_config_reloads_total", outcome="refused") == 2

    await crew.until(is_refused)
    assert await has_changed()
    assert await crew.total("tandem_config_last_reload_successful") == 0
    config = (await crew.admin.get("/admin/models")).json()["config"]
    assert "much" in config["last_error"]
    assert [one["worker"] for one in config["workers"]] == [0, 1]


class Traffic:
    """Callers that ask and check without end, each request on a connection of its own."""

    def __init__(self, crew: Crew) -> None:
        self.crew = crew
        self.answered = 0
        self.lost = 0
        self.totals: list[float] = []
        self.stopped = asyncio.Event()

    async def call(self, number: int) -> None:
        while not self.stopped.is_set():
            try:
                answer = await self.crew.predict(number)
            except (httpx.RemoteProtocolError, httpx.ReadError):
                self.lost += 1  # it was on a connection of a worker that died
                continue
            assert answer.json() == {"predictions": [number]}
            self.answered += 1

    async def watch(self) -> None:
        while not self.stopped.is_set():
            self.totals.append(await self.crew.total("tandem_requests_total", reason="ok"))
            assert (await self.crew.admin.get("/readyz")).status_code == 200

    async def until_answered(self, more: int) -> None:
        wanted = self.answered + more

        async def is_so() -> bool:
            return self.answered >= wanted

        await self.crew.until(is_so)


def test_a_killed_worker_costs_only_its_own_requests_and_is_started_again(tmp_path: Path) -> None:
    """Even while the file is wrong: it serves what the others serve. And no counter goes back."""

    async def scenario(crew: Crew) -> None:
        traffic = Traffic(crew)
        async with asyncio.TaskGroup() as group:
            for number in range(6):
                group.create_task(traffic.call(number))
            group.create_task(traffic.watch())
            await traffic.until_answered(30)
            crew.path.write_text("not = [toml")
            await crew.until_logged("configuration refused; the one before stays in force", 2)
            os.kill(crew.pids()[0], signal.SIGKILL)
            await crew.until_logged("a worker is up", 3)
            await traffic.until_answered(30)
            traffic.stopped.set()
        assert traffic.lost <= 6
        assert traffic.totals == sorted(traffic.totals)
        assert await crew.total("tandem_worker_restarts_total", worker="0") == 1
        assert await crew.total("tandem_workers") == 2
        # What the dead one counted in its last second may be lost, and no more than that.
        assert 60 < await crew.total("tandem_requests_total", reason="ok") <= traffic.answered

    against(tmp_path, scenario)


def test_sigterm_answers_what_was_accepted_by_any_worker_and_exits_0(tmp_path: Path) -> None:
    async def scenario(crew: Crew) -> None:
        crew.backend.fault = gate = Gate()
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(crew.predict(n)) for n in range(40)]
            await crew.until_accepted(40)
            crew.process.send_signal(signal.SIGTERM)
            gate.opened.set()
        assert [task.result().json() for task in asked] == [{"predictions": [n]} for n in range(40)]
        assert await crew.ends() == 0

    against(tmp_path, scenario)


def test_steady_traffic_over_sigterm_sees_answers_or_a_closed_door(tmp_path: Path) -> None:
    """Every request is answered right, or its connection was refused or closed before it was sent."""

    async def scenario(crew: Crew) -> None:
        answered = 0

        async def caller(number: int) -> None:
            nonlocal answered
            async with crew.client() as client:
                while True:
                    try:
                        answer = await client.post(PREDICT, json={"instances": [[number]]})
                    except (httpx.ConnectError, httpx.RemoteProtocolError, httpx.ReadError):
                        return
                    assert answer.json() == {"predictions": [number]}
                    answered += 1

        async with asyncio.TaskGroup() as group:
            for number in range(8):
                group.create_task(caller(number))

            async def has_begun() -> bool:
                return answered > 40

            await crew.until(has_begun)
            crew.process.send_signal(signal.SIGTERM)
        assert await crew.ends() == 0

    against(tmp_path, scenario)


def test_a_worker_told_to_leave_by_another_drains_and_is_replaced(tmp_path: Path) -> None:
    async def scenario(crew: Crew) -> None:
        crew.backend.fault = gate = Gate()
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(crew.predict(n)) for n in range(8)]
            await gate.reached()
            os.kill(crew.pids()[1], signal.SIGTERM)
            await crew.until_logged("a worker leaves by itself")
            asked += [group.create_task(crew.predict(n)) for n in range(8, 16)]
            gate.opened.set()
        assert [task.result().json() for task in asked] == [{"predictions": [n]} for n in range(16)]
        await crew.until_logged("a worker is up", 3)

    against(tmp_path, scenario)


def test_workers_that_keep_dying_end_everything(tmp_path: Path) -> None:
    async def scenario(crew: Crew) -> None:
        for time in range(5):
            await crew.until_logged("a worker is up", 2 + time)
            os.kill(crew.pids()[0], signal.SIGKILL)
        assert await crew.ends() == 1
        assert "worker 0 failed 5 times in a row: it was ended by SIGKILL" in crew.log[-1]["event"]

    against(tmp_path, scenario)


def test_the_workers_end_with_their_supervisor(tmp_path: Path) -> None:
    async def scenario(crew: Crew) -> None:
        crew.process.kill()
        await crew.process.wait()

        async def all_gone() -> bool:
            return not any(map(is_there, crew.pids().values()))

        await crew.until(all_gone)

    against(tmp_path, scenario)


def is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


def test_a_taken_port_is_one_clear_error(tmp_path: Path) -> None:
    """Also that of other workers, who would let ours share it."""

    async def scenario(crew: Crew) -> None:
        text = crew.path.read_text()
        for name in ("rest", "grpc", "admin"):
            other = tmp_path / f"{name}.toml"
            address = crew.addresses[name]
            other.write_text(text.replace(f'{name} = "127.0.0.1:0"', f'{name} = "{address}"'))
            argv = [sys.executable, "-m", "gateway", "serve", str(other), "--workers", "2"]
            process = await asyncio.create_subprocess_exec(*argv, stderr=PIPE)
            async with asyncio.timeout(60):
                _, said = await process.communicate()
            assert process.returncode == 1
            assert f"listen.{name}: cannot listen on {address}" in said.decode()

    against(tmp_path, scenario)
