"""A backend of `tandem up` is killed and comes back; the gateway's end is the end of everything."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from gateway.cli.ports import holder_of
from tests.addresses import free_port
from tests.cli.test_up import free_pair

pytestmark = [pytest.mark.slow, pytest.mark.e2e]

CONFIG = """\
[listen]
rest = "127.0.0.1:{rest}"
grpc = "127.0.0.1:0"
admin = "127.0.0.1:{admin}"

[backends.torch]
kind = "oip"
address = "127.0.0.1:{torch}"

[models.iris.arms.torch]
backend = "torch"
"""
FLOWER = {"instances": [[5.1, 3.5, 1.4, 0.2]]}


@dataclass(frozen=True)
class Up:
    """A running `tandem up` with the real PyTorch server, and the ports of its parts."""

    process: subprocess.Popen[str]
    rest: int
    admin: int
    torch: int

    def predict(self) -> httpx.Response:
        return httpx.post(f"http://127.0.0.1:{self.rest}/v1/models/iris:predict", json=FLOWER)

    def until(self, words: str) -> str:
        """What it prints, up to a line with these words."""
        assert self.process.stdout is not None
        printed = ""
        for line in self.process.stdout:  # ends when the process does
            printed += line
            if words in line:
                return printed
        pytest.fail(f"`tandem up` ended without {words!r}:\n{printed}")


@contextmanager
def up(root: Path, folder: Path) -> Iterator[Up]:
    ports = {"rest": free_port(), "admin": free_port(), "torch": free_pair()}
    config = folder / "tandem.toml"
    config.write_text(CONFIG.format(**ports))
    argv = [str(root / ".venv/bin/tandem"), "up", "--config", str(config)]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, cwd=root, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            stack = Up(process, **ports)
            stack.until("Ctrl-C")
            yield stack
        finally:
            process.terminate()
            process.wait(60)


def pid_at(port: int) -> int:
    """The process that listens there."""
    holder = holder_of(port)
    assert holder is not None
    return int(holder.split()[1])


def test_a_killed_backend_comes_back_and_predicts(root: Path, tmp_path: Path) -> None:
    """The real PyTorch server under the real command, which tells of it and ends well."""
    with up(root, tmp_path) as stack:
        before = stack.predict()
        assert before.status_code == 200, before.text
        gateway, torch = pid_at(stack.rest), pid_at(stack.torch)
        os.kill(torch, signal.SIGKILL)
        printed = stack.until("ready again")
        assert "was ended by SIGKILL" in printed
        assert "(restart 1)" in printed
        deadline = time.monotonic() + 60
        while stack.predict().status_code != 200:  # until the gateway has a connection again
            assert time.monotonic() < deadline
        assert stack.predict().json() == before.json()
        assert pid_at(stack.torch) != torch
        assert pid_at(stack.rest) == gateway
    assert stack.process.returncode == 0


def test_the_gateway_s_end_is_the_stack_s_with_its_status(root: Path, tmp_path: Path) -> None:
    """And no server is left behind."""
    with up(root, tmp_path) as stack:
        os.kill(pid_at(stack.rest), signal.SIGKILL)
        _, said = stack.process.communicate(timeout=60)
    assert stack.process.returncode == 128 + signal.SIGKILL
    assert "tandem up: gateway was ended by SIGKILL" in said
    assert holder_of(stack.torch) is None
