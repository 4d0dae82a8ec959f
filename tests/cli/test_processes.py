"""Real child processes: started together, watched, and never left behind."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.cli.processes import Child, ChildDied, Launch, fleet
from gateway.cli.terminal import CommandError
from tests.cli.children import SAYS, STAYS, WAIT_S, door, python

STUBBORN = SAYS + "signal.signal(signal.SIGTERM, lambda *_: say('no'))\nsay('ready')\n"
STUBBORN += "while True: signal.pause()"
# Ignores SIGTERM, as does the child that it starts.
FAMILY = (
    SAYS
    + """\
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
say(child.pid)
signal.pause()
"""
)


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until_gone(*pids: int) -> None:
    """Wait until none of them runs, whoever's children they are."""
    for pid in pids:
        try:
            end = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        readable, _, _ = select.select([end], [], [], WAIT_S)
        os.close(end)
        assert readable, f"process {pid} still runs"


def test_a_fleet_is_stopped_in_reverse_order(tmp_path: Path) -> None:
    """The gateway ends before the backends it talks to."""
    order: list[str] = []

    async def watch(child: Child) -> None:
        await child.process.wait()
        order.append(child.launch.name)

    async def main() -> None:
        async with (
            door(tmp_path) as said,
            asyncio.TaskGroup() as group,
            fleet(tmp_path / "logs") as running,
        ):
            for name in ("first", "second", "third"):
                child = await running.start(python(name, STAYS, cwd=tmp_path))
                await said.get()
                group.create_task(watch(child))
        assert {child.process.returncode for child in running.children} == {-signal.SIGTERM}

    asyncio.run(main())
    assert order == ["third", "second", "first"]


def test_a_child_that_dies_ends_the_fleet_with_its_last_words(tmp_path: Path) -> None:
    """The block is cancelled, the others are stopped, and the log's end is in the error."""
    dies = "print('line 1'); raise SystemExit('no such model: iris')"
    others: list[int] = []

    async def main() -> None:
        async with fleet(tmp_path / "logs") as running:
            child = await running.start(
                python("stays", "import signal; signal.pause()", cwd=tmp_path)
            )
            others.append(child.process.pid)
            await running.start(python("torch", dies, cwd=tmp_path))
            await asyncio.Event().wait()

    with pytest.raises(ChildDied) as caught:
        asyncio.run(main())
    text = str(caught.value)
    assert text.startswith("torch ended with status 1; the end of ")
    assert text.endswith("    line 1\n    no such model: iris")
    assert not is_alive(others[0])


def test_a_child_that_is_killed_says_by_what(tmp_path: Path) -> None:
    """Out of memory looks like this."""

    async def main() -> None:
        async with door(tmp_path) as said, fleet(tmp_path) as running:
            child = await running.start(python("tf", STAYS, cwd=tmp_path))
            await said.get()
            child.send(signal.SIGKILL)
            await asyncio.Event().wait()

    with pytest.raises(ChildDied, match=r"^tf was ended by SIGKILL, perhaps for want of memory; "):
        asyncio.run(main())


@pytest.mark.parametrize(
    ("end", "status"),
    [("sys.exit(3)", 3), ("sys.exit(0)", 1), ("os.kill(os.getpid(), 9)", 128 + 9)],
)
def test_a_watched_child_s_status_becomes_ours(end: str, status: int, tmp_path: Path) -> None:
    """As a shell has it for signals; never 0, since nobody told it to end."""

    async def main() -> None:
        async with fleet(tmp_path) as running:
            await running.start(python("gateway", f"import os, sys; {end}", cwd=tmp_path))
            await asyncio.Event().wait()

    with pytest.raises(ChildDied) as caught:
        asyncio.run(main())
    assert caught.value.status == status


def test_one_that_ignores_sigterm_is_killed_with_all_it_started(tmp_path: Path) -> None:
    """After its grace."""
    pids: list[int] = []

    async def main() -> int | None:
        async with door(tmp_path) as said, fleet(tmp_path) as running:
            child = await running.start(python("x", FAMILY, cwd=tmp_path, grace_s=0.05))
            pids.extend((child.process.pid, int(await said.get())))
        return child.process.returncode

    assert asyncio.run(main()) == -signal.SIGKILL
    wait_until_gone(*pids)


def test_a_second_interrupt_does_not_wait_for_the_grace(tmp_path: Path) -> None:
    """Cancelling the stop kills at once."""
    children: list[Child] = []

    async def run() -> None:
        async with fleet(tmp_path) as started:
            child = await started.start(python("x", STUBBORN, cwd=tmp_path, grace_s=3600))
            children.append(child)
            await asyncio.Event().wait()

    async def main() -> None:
        async with door(tmp_path) as said, asyncio.TaskGroup() as group:
            task = group.create_task(run())
            assert await said.get() == "ready"
            task.cancel()
            assert await said.get() == "no"
            task.cancel()

    asyncio.run(main())
    assert children[0].process.returncode == -signal.SIGKILL


def test_an_error_in_the_block_stops_the_fleet_and_is_raised_as_it_is(tmp_path: Path) -> None:
    """Not wrapped in a group."""

    async def main() -> None:
        async with fleet(tmp_path) as running:
            await running.start(python("x", "import signal; signal.pause()", cwd=tmp_path))
            raise CommandError("not ready")

    with pytest.raises(CommandError, match=r"^not ready$"):
        asyncio.run(main())


def test_a_program_that_does_not_exist_is_a_clear_error(tmp_path: Path) -> None:
    """It names the program."""

    async def main() -> None:
        async with fleet(tmp_path) as running:
            await running.start(Launch(name="x", argv=("/nowhere/python",), cwd=tmp_path))

    with pytest.raises(CommandError, match=r"cannot run /nowhere/python: No such file"):
        asyncio.run(main())


SUPERVISOR = """\
import asyncio, pathlib, signal, sys
from gateway.cli.processes import Launch, fleet

async def main():
    async with fleet(pathlib.Path(sys.argv[1])) as running:
        for name in ("a", "b"):
            program = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.pause()"
            await running.start(Launch(
                name=name, argv=(sys.executable, "-c", program), cwd=pathlib.Path(sys.argv[1])))
        print(*[child.process.pid for child in running.children], flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_no_child_outlives_a_killed_parent(
    number: signal.Signals, tmp_path: Path, root: Path
) -> None:
    """Not even children that ignore SIGTERM: the kernel ends them."""
    with subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(root)},
        text=True,
    ) as parent:
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()]
        assert len(pids) == 2
        assert all(is_alive(pid) for pid in pids)
        parent.send_signal(number)
        parent.wait(WAIT_S)
    wait_until_gone(*pids)


def test_ctrl_c_reaches_only_the_parent(tmp_path: Path) -> None:
    """A child is in a session of its own, without our terminal."""

    async def main() -> None:
        async with fleet(tmp_path) as running:
            child = await running.start(python("x", "import signal; signal.pause()", cwd=tmp_path))
            assert os.getsid(child.process.pid) == child.process.pid != os.getsid(0)
            assert repr(running) == f"<Fleet [<Child x pid {child.process.pid} running>]>"

    asyncio.run(main())
