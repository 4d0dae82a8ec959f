"""How does a benchmark start what it measures, each on a core of its own, and stop it again?"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ROOT", "Running", "cpu_seconds", "free_port", "pause", "running", "wait_for_http"]

ROOT = Path(__file__).resolve().parent.parent.parent
START_S = 120.0


@dataclass(frozen=True, slots=True)
class Running:
    """A process under measurement."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextmanager
def running(
    name: str,
    argv: Sequence[str | Path],
    *,
    core: int | None,
    logs: Path,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Running]:
    """A process, bound to `core` if one is given, from now until the block ends.

    `environment` is added to ours.
    """
    log = logs / f"{name}.log"
    ours = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **(environment or {})}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(part) for part in argv], cwd=ROOT, env=ours, stdout=output, stderr=output
        )
        try:
            if core is not None:
                # Before it makes threads or children, which inherit it.
                os.sched_setaffinity(process.pid, {core})
            yield Running(name, process, log)
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_for_http(url: str, server: Running) -> None:
    """Wait until `url` answers 200; ends the program when the server ends or takes too long."""
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        if server.process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310  # a loopback address
                if answer.status == 200:  # noqa: PLR2004  # OK
                    return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            server_is_up = server.process.poll() is None
            if server_is_up:
                pause(0.1)
    tail = server.log.read_text(errors="replace")[-2000:]
    sys.exit(f"{server.name} did not answer at {url}:\n{tail}")


def pause(seconds: float) -> None:
    """Look again a little later; a child that starts tells nobody when it is done."""
    listening, silent = socket.socketpair()
    with listening, silent:  # a closed one would wake the other at once
        listening.settimeout(seconds)
        with suppress(TimeoutError):
            listening.recv(1)


def cpu_seconds(process: subprocess.Popen[bytes]) -> float:
    """Processor time that the process has used, user and system."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
