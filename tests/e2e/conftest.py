"""The whole stack, as `tandem up` starts it, once for every test here."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

READY_S = 300


@dataclass(frozen=True)
class Up:
    """Where the stack listens, as `host:port`."""

    rest: str
    grpc: str
    admin: str
    tf: str
    torch: str


def _free() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def _pair() -> tuple[str, str]:
    """Two neighbouring free addresses: the torch server's REST port is one below its gRPC port."""
    while True:
        rest = _free()
        port = int(rest.rpartition(":")[2]) + 1
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return rest, f"127.0.0.1:{port}"


@pytest.fixture(scope="session")
def stack(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """`tandem up` with the repository's own configuration, on free ports."""
    torch = _pair()[1]
    up = Up(rest=_free(), grpc=_free(), admin=_free(), tf=_free(), torch=torch)
    text = (root / "tandem.toml").read_text()
    for old, new in (
        ("127.0.0.1:8080", up.rest),
        ("127.0.0.1:8081", up.grpc),
        ("127.0.0.1:8082", up.admin),
        ("127.0.0.1:8500", up.tf),
        ("127.0.0.1:8611", up.torch),
    ):
        assert old in text
        text = text.replace(old, new)
    config = tmp_path_factory.mktemp("up") / "tandem.toml"
    config.write_text(text)
    argv = [str(root / ".venv/bin/tandem"), "up", "--config", str(config)]
    with subprocess.Popen(argv, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        printed = ""
        for line in process.stdout:  # ends when the process does
            printed += line
            if "Ctrl-C" in line:
                break
        else:
            pytest.fail(f"`tandem up` ended before it was ready:\n{printed}")
        yield up
        process.terminate()
        process.communicate(timeout=60)
        assert process.returncode == 0
