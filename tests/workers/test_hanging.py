"""A worker that hangs is killed and replaced, and what it held comes back."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from tests.workers.processes import ONE_SLOT, Counting, Crew, against, answers, holder

pytestmark = pytest.mark.slow

PRINTING = """
import os, sys
if "gateway.workers.child" in sys.orig_argv:
    os.write(1, b"x" * 2**20 + b"\\n")
"""


def test_a_stopped_worker_gives_back_its_slot_its_connections_and_its_gauges(
    tmp_path: Path,
) -> None:
    """Those of the others wait for that, and are all answered; only its own are lost."""

    async def scenario(crew: Crew) -> None:
        crew.backend.fault = counting = Counting()
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(answers(crew, n)) for n in range(8)]
            await crew.until_accepted(8)
            number = await holder(crew)
            lost = await crew.total("tandem_worker_connections_total", worker=str(number))
            os.kill(crew.pids()[number], signal.SIGSTOP)
            counting.opened.set()
            await crew.until_logged("a worker hangs, and is killed")
            await crew.until_logged("a worker is up", 3)
        answered = [task.result() for task in asked]
        assert answered.count(False) == lost
        assert await crew.total("tandem_worker_hangs_total", worker=str(number)) == 1
        assert await crew.total("tandem_worker_restarts_total", worker=str(number)) == 1
        assert await crew.total("tandem_in_flight_requests") == 0
        ready = await crew.admin.get("/readyz?complete=true")
        assert ready.json()["workers"] == {"ready": 2, "of": 2}

    against(tmp_path, scenario, models=ONE_SLOT)


def test_the_others_serve_and_are_ready_meanwhile(tmp_path: Path) -> None:
    """Connections that a hung worker had not taken are answered by another, once it is killed."""

    async def scenario(crew: Crew) -> None:
        os.kill(crew.pids()[1], signal.SIGSTOP)
        found = await asyncio.gather(*(crew.predict(n) for n in range(20)))
        assert [a.json() for a in found] == [{"predictions": [n]} for n in range(20)]
        await crew.until_logged("a worker hangs, and is killed")

    against(tmp_path, scenario)


def test_workers_that_print_without_end_are_heard_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever in them writes to their standard output, which is how they speak to the supervisor."""
    (tmp_path / "sitecustomize.py").write_text(PRINTING)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)

    async def scenario(crew: Crew) -> None:
        assert (await crew.predict(7)).json() == {"predictions": [7]}
        assert (await crew.admin.get("/readyz?complete=true")).status_code == 200
        assert len([line for line in crew.log if line["event"] == "a worker is up"]) == 2

    against(tmp_path, scenario)


def test_a_probe_is_answered_while_a_worker_hangs(tmp_path: Path) -> None:
    async def scenario(crew: Crew) -> None:
        os.kill(crew.pids()[0], signal.SIGSTOP)
        ready = await crew.admin.get("/readyz", timeout=2)  # what our own manifests wait
        assert ready.json() == {"ready": True, "workers": {"ready": 1, "of": 2}}
        assert (await crew.admin.get("/readyz?complete=true")).status_code == 503
        await crew.until_logged("a worker hangs, and is killed")

    against(tmp_path, scenario)


def test_sigterm_ends_a_worker_that_hangs_too(tmp_path: Path) -> None:
    """The others drain; that one did not is told by the exit status."""

    async def scenario(crew: Crew) -> None:
        crew.backend.fault = counting = Counting()
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(answers(crew, n)) for n in range(8)]
            await crew.until_accepted(8)
            number = await holder(crew)
            hung = str(1 - number)
            lost = await crew.total("tandem_worker_connections_total", worker=hung)
            os.kill(crew.pids()[1 - number], signal.SIGSTOP)
            crew.process.send_signal(signal.SIGTERM)
            counting.opened.set()
        assert [task.result() for task in asked].count(False) == lost
        assert await crew.ends() == 1
        assert any(line["event"] == "a worker hangs, and is killed" for line in crew.log)

    against(tmp_path, scenario, models=ONE_SLOT)
