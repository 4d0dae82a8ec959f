"""What `tandem up` and `tandem demo` say when something is missing, and how they take an interrupt."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.cli.interrupt import Interrupt, run_interruptibly
from gateway.cli.launch import Tools
from gateway.cli.processes import Launch, run_to_end
from gateway.cli.stack import running_stack
from gateway.cli.terminal import CommandError, Terminal
from gateway.config import Config
from gateway.control.source import parse
from tests.addresses import free_port
from tests.cli.conftest import CONFIG

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize("command", ["up", "demo"])
def test_a_wrong_configuration_is_status_2_with_every_problem(
    command: str, config_file: Path, capsys: Capture
) -> None:
    """Before anything is started."""
    config_file.write_text(CONFIG.replace("weight = 3", "wieght = 3"))
    assert main([command, "--config", str(config_file)]) == 2
    assert 'wieght   unknown key; did you mean "weight"?' in capsys.readouterr().err


def test_a_wrong_flag_is_status_2(config_file: Path, capsys: Capture) -> None:
    """It names the flag."""
    assert main(["up", "--config", str(config_file), "--rest", "nowhere"]) == 2
    assert '--rest   got "nowhere", wants host:port' in capsys.readouterr().err


def test_a_taken_port_stops_the_start(config_file: Path, capsys: Capture) -> None:
    """With its setting, flag and holder."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = f"127.0.0.1:{server.getsockname()[1]}"
        flags = ["--grpc", taken, "--config", str(config_file)]
        assert main(["up", *flags]) == 1
    shown = capsys.readouterr().err
    assert f"listen.grpc (--grpc): {taken} is taken by pid {os.getpid()}" in shown


def free_pair() -> int:
    """A free port, the one below which is free too: the torch server takes both."""
    for _ in range(100):
        upper = free_port()
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", upper - 1)):
            return upper
    raise AssertionError("no two free ports side by side")


def local_config() -> Config:
    """Backends and listeners on ports that are free."""
    text = CONFIG.replace("8500", str(free_port())).replace("8611", str(free_pair()))
    listen = "\n".join(f'{name} = "127.0.0.1:0"' for name in ("rest", "grpc", "admin"))
    return parse(f"[listen]\n{listen}\n{text}", "t.toml")


def start(config: Config, tools: Tools, terminal: Terminal) -> None:
    """Start a stack, which will not get far."""

    async def command() -> None:
        async with running_stack(Path("t.toml"), config, tools, terminal):
            pass

    asyncio.run(command())


def tools_in(folder: Path, root: Path) -> Tools:
    """This checkout's programs, with another store and no environments."""
    (folder / "serving").symlink_to(root / "serving")
    (folder / "gateway").symlink_to(root / "gateway")
    (folder / "model_store").mkdir()
    return Tools(
        root=folder,
        stack="0",
        model_server=None,
        torch_python=folder / "no-torch",
        tf_python=folder / "no-tf",
        threads=1,
    )


def test_models_that_are_not_built_are_named(
    tmp_path: Path, root: Path, terminal: Terminal
) -> None:
    """With the command that builds them."""
    with pytest.raises(CommandError, match=r"not built in .*: flowers, iris; run `make store`"):
        start(local_config(), tools_in(tmp_path, root), terminal)


def built(tools: Tools) -> Tools:
    """The same with models that look built."""
    for model in ("iris", "flowers"):
        (tools.store / model / "1").mkdir(parents=True)
        (tools.store / model / "1" / "manifest.json").touch()
    return tools


def test_a_missing_environment_is_said(tmp_path: Path, root: Path, terminal: Terminal) -> None:
    """And nothing is left running."""
    with pytest.raises(CommandError, match=r"environment is missing .* `make setup`"):
        start(local_config(), built(tools_in(tmp_path, root)), terminal)


def test_a_backend_that_dies_at_once_is_told_with_its_last_words(
    tmp_path: Path, root: Path, terminal: Terminal
) -> None:
    """Rather than waited for until the timeout."""
    tools = built(tools_in(tmp_path, root))
    for python in (tools.torch_python, tools.tf_python):
        python.write_text("#!/bin/sh\necho no such module; exit 3\n")
        python.chmod(0o755)
    with pytest.raises(
        CommandError, match=r"^(tf|torch) ended with status 3; .*\n +no such module"
    ):
        start(local_config(), tools, terminal)


def test_a_signal_cancels_work_and_becomes_ctrl_c() -> None:
    """`finally` blocks have run."""
    cleaned: list[str] = []

    async def command(_: Interrupt) -> int:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.Event().wait()
        finally:
            cleaned.append("yes")
        return 0

    with pytest.raises(KeyboardInterrupt):
        run_interruptibly(command)
    assert cleaned == ["yes"]


def test_a_signal_while_staying_up_is_the_regular_end() -> None:
    """The command goes on after its wait, and its status counts."""

    async def command(interrupt: Interrupt) -> int:
        asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGINT)
        await interrupt.wait()
        return 7

    assert run_interruptibly(command) == 7


def test_a_second_signal_while_stopping_is_work_cancelled() -> None:
    """It does not wait for what the first one began."""

    async def command(interrupt: Interrupt) -> int:
        for wait in (interrupt.wait, asyncio.Event().wait):
            asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGINT)
            await wait()
        return 0

    with pytest.raises(KeyboardInterrupt):
        run_interruptibly(command)


def test_a_child_is_followed_line_by_line_to_its_end(tmp_path: Path) -> None:
    """Output and progress apart."""
    program = "import sys; print('a'); print('b', file=sys.stderr); print('c'); sys.exit(4)"
    launch = Launch(name="x", argv=(sys.executable, "-c", program), cwd=tmp_path)
    output: list[str] = []
    progress: list[str] = []
    status = asyncio.run(run_to_end(launch, on_output=output.append, on_progress=progress.append))
    assert (status, output, progress) == (4, ["a", "c"], ["b"])


def test_an_interrupted_child_is_ended(tmp_path: Path, screen: io.StringIO) -> None:
    """By SIGTERM, so that it can end what it started."""
    program = (
        "import signal, sys\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('ended', flush=True), sys.exit(0)))\n"
        "print('ready', flush=True)\n"
        "while True: signal.pause()\n"
    )
    launch = Launch(name="x", argv=(sys.executable, "-c", program), cwd=tmp_path)

    async def command(_: Interrupt) -> int:
        def on_output(line: str) -> None:
            screen.write(line)
            os.kill(os.getpid(), signal.SIGINT)

        return await run_to_end(launch, on_output=on_output, on_progress=lambda _: None)

    with pytest.raises(KeyboardInterrupt):
        run_interruptibly(command)
    assert screen.getvalue() == "ready"
