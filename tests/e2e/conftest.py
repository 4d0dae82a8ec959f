"""The whole stack, as `tandem up` starts it, once for every test here."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

READY_S = 300


@dataclass(frozen=True)
class Up:
    """Where the stack listens, as `host:port`; `torch` is the torch server's gRPC, `torch_rest` its REST."""

    rest: str
    grpc: str
    admin: str
    tf: str
    torch: str
    torch_rest: str


def _free() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def _told(log: Path) -> dict[str, str]:
    """Where the torch server says that it listens."""
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    told: dict[str, str] = next(line for line in reversed(lines) if line["event"] == "listening")
    return told


@pytest.fixture(scope="session")
def stack(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """`tandem up` with the repository's own configuration, on free ports."""
    rest, grpc, admin, tf = _free(), _free(), _free(), _free()
    folder = tmp_path_factory.mktemp("up")
    text = (root / "tandem.toml").read_text()
    for old, new in (
        ("127.0.0.1:8080", rest),
        ("127.0.0.1:8081", grpc),
        ("127.0.0.1:8082", admin),
        ("127.0.0.1:8500", tf),
        ("unix:/tmp/tandem-torch.sock", f"unix:{folder}/torch.sock"),
    ):
        assert old in text
        text = text.replace(old, new)
    config = folder / "tandem.toml"
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
        torch = _told(root / ".tandem" / "logs" / rest.rpartition(":")[2] / "torch.log")
        torch_rest = torch["rest"].split()[0]
        yield Up(
            rest=rest, grpc=grpc, admin=admin, tf=tf, torch=torch["grpc"], torch_rest=torch_rest
        )
        process.terminate()
        process.communicate(timeout=60)
        assert process.returncode == 0
