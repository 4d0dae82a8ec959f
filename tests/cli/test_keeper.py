"""A backend that dies is started again, told, and in the end given up; the rest stays up meanwhile."""

from __future__ import annotations

import asyncio
import io
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from gateway.cli.keeper import Keeper, NotReady, UntilReady
from gateway.cli.processes import ChildDied, Fleet, fleet
from gateway.cli.terminal import Terminal
from gateway.restarts import Patience
from tests.cli.children import SAYS, STAYS, door, python

AT_ONCE = Patience(first_wait_s=0.001, longest_wait_s=0.001, max_failures=3, steady_s=3600)
# Its first life goes well; every later one ends with a word of its own.
ONCE = (
    "import pathlib; print('life', flush=True)\n"
    "if pathlib.Path('lived').exists(): sys.exit('no such device')\n"
    "pathlib.Path('lived').touch()\n" + STAYS.removeprefix(SAYS)
)


def keep(
    program: str, *, on: Fleet, cwd: Path, until_ready: UntilReady, terminal: Terminal
) -> Keeper:
    """A keeper of a Python program, at work."""
    launch = python("torch", program, cwd=cwd)
    keeper = Keeper(launch, on, until_ready=until_ready, terminal=terminal, patience=AT_ONCE)
    on.keep(keeper.keep())
    return keeper


def listens_to(said: asyncio.Queue[str]) -> UntilReady:
    """Ready is who says so."""

    async def until_ready() -> float:
        assert await said.get() == "ready"
        return 0.25

    return until_ready


Scenario = Callable[[Fleet, asyncio.Queue[str]], Awaitable[None]]


def run(tmp_path: Path, scenario: Scenario) -> None:
    """A scenario with a fleet in a directory, and what its children say."""

    async def main() -> None:
        async with door(tmp_path) as said, fleet(tmp_path / "logs") as children:
            await scenario(children, said)

    asyncio.run(main())


async def until_shown(screen: io.StringIO, text: str) -> None:
    """Wait, within the door's bound, until the terminal shows a text."""
    while text not in screen.getvalue():  # noqa: ASYNC110  # a terminal owes nobody an event
        await asyncio.sleep(0.001)


def test_a_killed_backend_comes_back_and_the_rest_stays_up(
    tmp_path: Path, terminal: Terminal, screen: io.StringIO
) -> None:
    """In its place in the fleet, with its reason and count shown, and its log continued."""
    rest: list[int | None] = []

    async def scenario(children: Fleet, said: asyncio.Queue[str]) -> None:
        program = f"{SAYS}print('a life', flush=True)\n{STAYS}"
        keeper = keep(
            program, on=children, cwd=tmp_path, until_ready=listens_to(said), terminal=terminal
        )
        await keeper.ready.wait()
        other = await children.start(
            python("gateway", "import signal; signal.pause()", cwd=tmp_path)
        )
        children.children[0].send(signal.SIGKILL)
        await until_shown(screen, "ready again")
        assert [child.launch.name for child in children.children] == ["torch", "gateway"]
        rest.append(other.process.returncode)

    run(tmp_path, scenario)
    assert rest == [None]
    first, second = screen.getvalue().splitlines()
    said = (
        "was ended by SIGKILL, perhaps for want of memory; starting it again in 0.0 s (restart 1)"
    )
    assert first == f" {'torch':<14} {said}"
    assert second == f" {'torch':<14} ready again after 0.2 s (restart 1)"
    assert (tmp_path / "logs" / "torch.log").read_text() == "a life\n" * 2


def test_too_many_failures_in_a_row_end_the_fleet(
    tmp_path: Path, terminal: Terminal, screen: io.StringIO
) -> None:
    """With the count and the last life's last words alone."""

    async def scenario(children: Fleet, said: asyncio.Queue[str]) -> None:
        keeper = keep(
            SAYS + ONCE, on=children, cwd=tmp_path, until_ready=listens_to(said), terminal=terminal
        )
        await keeper.ready.wait()
        children.children[0].send(signal.SIGKILL)
        await asyncio.Event().wait()

    with pytest.raises(ChildDied) as caught:
        run(tmp_path, scenario)
    text = str(caught.value)
    assert text.startswith(
        "torch failed 3 times in a row and is given up; it ended with status 1; the end of "
    )
    assert text.endswith(":\n    life\n    no such device")
    assert caught.value.status == 1
    assert screen.getvalue().count("starting it again") == 2


def test_a_backend_that_never_was_ready_ends_the_fleet_at_once(
    tmp_path: Path, terminal: Terminal, screen: io.StringIO
) -> None:
    """A start that fails is told, not repeated."""

    async def scenario(children: Fleet, said: asyncio.Queue[str]) -> None:
        program = "raise SystemExit('no such model')"
        keeper = keep(
            program, on=children, cwd=tmp_path, until_ready=listens_to(said), terminal=terminal
        )
        await keeper.ready.wait()

    with pytest.raises(ChildDied, match=r"^torch ended with status 1; .*\n    no such model$"):
        run(tmp_path, scenario)
    assert screen.getvalue() == ""


def test_one_that_is_not_ready_in_time_is_ended_and_said_to_be(
    tmp_path: Path, terminal: Terminal
) -> None:
    """Rather than said to have been killed for want of memory."""

    async def too_long() -> float:
        raise NotReady("was not ready after 180 s: nothing listens")

    async def scenario(children: Fleet, _: asyncio.Queue[str]) -> None:
        keeper = keep(STAYS, on=children, cwd=tmp_path, until_ready=too_long, terminal=terminal)
        await keeper.ready.wait()

    with pytest.raises(ChildDied, match=r"^torch was not ready after 180 s: nothing listens; the"):
        run(tmp_path, scenario)


@pytest.mark.parametrize("wait_s", [0.001, 3600.0])
def test_stopping_starts_nothing_again(
    wait_s: float, tmp_path: Path, terminal: Terminal, screen: io.StringIO
) -> None:
    """Neither what is stopped, nor what waits for its next start."""

    async def scenario(children: Fleet, said: asyncio.Queue[str]) -> None:
        patience = Patience(first_wait_s=wait_s, longest_wait_s=wait_s)
        keeper = Keeper(
            python("torch", STAYS, cwd=tmp_path),
            children,
            until_ready=listens_to(said),
            terminal=terminal,
            patience=patience,
        )
        children.keep(keeper.keep())
        await keeper.ready.wait()
        if wait_s > 1:
            children.children[0].send(signal.SIGKILL)
            await until_shown(screen, "starting it again in 60 min 0 s")

    run(tmp_path, scenario)
    assert screen.getvalue().count("torch") == (1 if wait_s > 1 else 0)
    assert (tmp_path / "logs" / "torch.log").exists()
