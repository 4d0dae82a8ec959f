"""The real worker process, in an environment without torch: it comes as far as a load goes without it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import uvloop

from model_store.manifest import describe_files
from serving.torch_server.frames import Frame
from serving.torch_server.ports import WorkerLost
from serving.torch_server.process import WorkerProcess, start_worker
from tests.serving.torch_server.archives import package
from tests.serving.torch_server.running import TIMEOUT_S

pytestmark = pytest.mark.slow

Loop = Callable[[], asyncio.AbstractEventLoop]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def loop_factory(request: pytest.FixtureRequest) -> Loop:
    factory: Loop = request.param
    return factory


def run(loop_factory: Loop, main: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(main)


def order(folder: Path) -> Frame:
    (folder / "model.pt2").write_bytes(package())
    files = describe_files(folder, ("model.pt2",))
    fields = {
        "folder": str(folder),
        "entry": "model.pt2",
        "files": {name: asdict(record) for name, record in files.items()},
        "device": "cpu",
        "threads": 1,
    }
    return Frame("load", fields)


def folders_in(scratch: Path) -> list[Path]:
    """What workers unpack to."""
    return list(scratch.glob("worker-*"))


def runs(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def environment_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")


def pid_of(worker: WorkerProcess) -> int:
    return worker.child.pid


def test_a_package_that_was_changed_is_refused_without_torch(
    loop_factory: Loop, tmp_path: Path
) -> None:
    async def main() -> None:
        async with start_worker("mlp/1", 1, tmp_path) as worker:
            load = order(tmp_path)
            (tmp_path / "model.pt2").write_bytes(b"something else")
            answer = await worker.ask(load, TIMEOUT_S)
            assert (answer.kind, answer.fields["kind"]) == ("refused", "integrity")
            assert "got sha256" in answer.fields["reason"]
            assert await worker.wait_gone() == "exited with status 0"

    run(loop_factory, main())


def test_a_worker_that_ends_tells_its_last_words(loop_factory: Loop, tmp_path: Path) -> None:
    async def main() -> None:
        async with start_worker("mlp/1", 1, tmp_path) as worker:
            with pytest.raises(WorkerLost):
                await worker.ask(order(tmp_path), TIMEOUT_S)
            how = await worker.wait_gone()
            assert how.startswith("exited with status 1")
            assert "No module named 'torch'" in how
            assert worker.is_lost

    run(loop_factory, main())


def test_a_worker_that_is_killed_is_lost_and_every_later_call_fails(
    loop_factory: Loop, tmp_path: Path
) -> None:
    async def main() -> None:
        async with start_worker("mlp/1", 1, tmp_path) as worker:
            os.kill(pid_of(worker), signal.SIGKILL)
            assert await worker.wait_gone() == "died of SIGKILL"
            with pytest.raises(WorkerLost):
                await worker.ask(Frame("run"), TIMEOUT_S)

    run(loop_factory, main())


def test_a_worker_that_is_killed_is_lost_even_if_its_socket_stays_open(
    loop_factory: Loop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that a package has started may hold it."""
    held: list[socket.socket] = []

    def make_pair() -> tuple[socket.socket, socket.socket]:
        ours, theirs = socketpair()
        held.append(theirs.dup())
        return ours, theirs

    socketpair = socket.socketpair
    monkeypatch.setattr(socket, "socketpair", make_pair)

    async def main() -> None:
        # The loops make pairs of their own; those are nobody's.
        async with start_worker("mlp/1", 1, tmp_path) as worker:
            os.kill(pid_of(worker), signal.SIGSTOP)
            async with asyncio.TaskGroup() as group:
                asked = group.create_task(how_lost(worker, order(tmp_path)))
                await asyncio.sleep(0)
                os.kill(pid_of(worker), signal.SIGKILL)
            assert asked.result() == "died of SIGKILL"

    run(loop_factory, main())
    for end in held:
        end.close()


async def how_lost(worker: WorkerProcess, frame: Frame) -> str:
    with pytest.raises(WorkerLost) as caught:
        await worker.ask(frame, TIMEOUT_S)
    return await caught.value.how()


def test_a_worker_that_takes_too_long_is_killed(loop_factory: Loop, tmp_path: Path) -> None:
    async def main() -> None:
        async with start_worker("mlp/1", 1, tmp_path) as worker:
            os.kill(pid_of(worker), signal.SIGSTOP)
            with pytest.raises(WorkerLost):
                await worker.ask(order(tmp_path), 0.1)
            assert await worker.wait_gone() == "was killed: no answer in 0.1 s"

    run(loop_factory, main())


def test_the_end_of_the_block_ends_the_process_and_removes_its_folder(
    loop_factory: Loop, tmp_path: Path
) -> None:
    async def main() -> None:
        async with start_worker("mlp/1", 1, tmp_path) as worker:
            pid = pid_of(worker)
            assert len(folders_in(tmp_path)) == 1
        assert not runs(pid)
        assert folders_in(tmp_path) == []

    run(loop_factory, main())


def test_a_worker_that_does_not_listen_is_ended_all_the_same(
    loop_factory: Loop, tmp_path: Path
) -> None:
    async def main() -> None:
        async with start_worker("mlp/1", 1, tmp_path) as worker:
            pid = pid_of(worker)
            os.kill(pid, signal.SIGSTOP)
        assert not runs(pid)

    run(loop_factory, main())


def test_a_cancelled_start_leaves_no_process(loop_factory: Loop, tmp_path: Path) -> None:
    async def forever(pids: list[int]) -> None:
        async with start_worker("mlp/1", 1, tmp_path) as worker:
            pids.append(pid_of(worker))
            await worker.wait_gone()

    async def main() -> None:
        pids: list[int] = []
        for rounds in range(6):
            async with asyncio.TaskGroup() as group:
                task = group.create_task(forever(pids))
                for _ in range(rounds):
                    await asyncio.sleep(0)
                task.cancel()
        assert not any(map(runs, pids))
        assert folders_in(tmp_path) == []

    run(loop_factory, main())


def test_a_worker_knows_no_secret_of_the_server(
    loop_factory: Loop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_PASSWORD", "made-up")
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")

    async def main() -> None:
        async with start_worker("mlp/1", 3, tmp_path) as worker:
            load = order(tmp_path)
            (tmp_path / "model.pt2").write_bytes(b"")
            told = environment_of(pid_of(worker))
            await worker.ask(load, TIMEOUT_S)
        names = {line.partition("=")[0] for line in told}
        assert "SOME_PASSWORD" not in names
        assert {"OMP_NUM_THREADS=3", "OMP_WAIT_POLICY=PASSIVE"} <= set(told)
        assert "AOTI_RUNTIME_CHECK_INPUTS=1" in told

    run(loop_factory, main())
