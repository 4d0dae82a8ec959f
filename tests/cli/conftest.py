"""What the command line's tests share: a terminal that is a file, and a sound configuration."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from gateway.cli.terminal import Terminal
from tests.addresses import free_port

CONFIG = """\
[backends.tf]
kind = "tfserving"
address = "127.0.0.1:8500"

[backends.torch]
kind = "oip"
address = "127.0.0.1:8611"

[models.iris.arms]
tf = { backend = "tf", weight = 3 }  # most of it
torch = { backend = "torch", weight = 1, version = 2, model = "flowers" }
"""


@pytest.fixture
def screen() -> io.StringIO:
    """Where the command writes; no terminal."""
    return io.StringIO()


@pytest.fixture
def terminal(screen: io.StringIO) -> Terminal:
    """A terminal over `screen`."""
    return Terminal(screen, {})


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    """A sound configuration file."""
    path = tmp_path / "tandem.toml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def free_address() -> str:
    """An address where nothing listens."""
    return f"127.0.0.1:{free_port()}"
