"""`--workers` is a number within bounds, and reaches the gateway that `tandem up` starts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gateway.cli.launch import Tools, gateway_launch
from gateway.config import Config

TOOLS = Tools(
    root=Path("/checkout"),
    stack="8080",
    model_server=None,
    torch_python=Path("/torch"),
    tf_python=Path("/tf"),
    threads=1,
)


@pytest.mark.parametrize("asked", ["0", "-1", "65", "two"])
@pytest.mark.parametrize("command", ["serve", "up"])
def test_no_other_number_is_taken(command: str, asked: str, root: Path) -> None:
    argv = [sys.executable, "-m", "gateway", command, f"--workers={asked}"]
    ran = subprocess.run(argv, cwd=root, capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 2
    assert f"got {asked!r}, wants a number from 1 to 64" in ran.stderr


def test_envoy_takes_none(root: Path) -> None:
    argv = [sys.executable, "-m", "gateway", "serve", "--front=envoy", "--workers=2"]
    ran = subprocess.run(argv, cwd=root, capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 2
    assert "--front envoy takes no --workers above 1" in ran.stderr


def test_up_passes_the_number_on_and_waits_longer_for_the_end() -> None:
    config = Config(backends={}, models={})
    alone = gateway_launch(Path("tandem.toml"), config, TOOLS)
    several = gateway_launch(Path("tandem.toml"), config, TOOLS, workers=3)
    assert "--workers" not in alone.argv
    assert several.argv[-2:] == ("--workers", "3")
    assert several.grace_s > alone.grace_s
