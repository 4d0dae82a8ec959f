"""How many requests a second, closed loop, of any body over either wire?

wrk asks over HTTP/1.1, h2load (Debian package `nghttp2-client`) over HTTP/2. h2load does not know gRPC: a
status other than OK has no message, and the bytes that came back tell.
"""

from __future__ import annotations

import http.client
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from loadtests.bench import wrk
from loadtests.bench_wire.bodies import Body, Wire

__all__ = ["Asked", "Loader", "ask", "post", "read_h2load"]

_WINDOW_BITS = 26  # a client that never makes the server wait for room


@dataclass(frozen=True, slots=True)
class Asked:
    """What one run found."""

    requests: int
    errors: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Loader:
    """Who asks: so many at once, for so long, from one core.

    Attributes:
        scratch: A folder for what the tools read.
    """

    callers: int
    seconds: int
    core: int
    scratch: Path


def ask(address: str, wire: Wire, body: Body, loader: Loader) -> Asked:
    """Send `body` to `address` from callers that each wait for their answer."""
    taskset = shutil.which("taskset")
    tool = shutil.which("h2load" if wire == "gRPC raw" else "wrk")
    if taskset is None or tool is None:
        sys.exit(
            "wrk, h2load or taskset is missing; on Debian: apt-get install wrk nghttp2-client util-linux"
        )
    content = loader.scratch / "body"
    content.write_bytes(body.content)
    argv = _h2load(tool, body, content, loader) if wire == "gRPC raw" else _wrk(tool, body, loader)
    url = f"http://{address}{body.path}"
    ran = subprocess.run(
        [taskset, "-c", str(loader.core), *argv, url], capture_output=True, text=True, check=True
    )
    if wire == "gRPC raw":
        return read_h2load(ran.stdout, body.answer_bytes)
    found = wrk.read(ran.stdout)
    return Asked(found.requests, found.errors)


def post(address: str, body: Body) -> bytes:
    """Send one request over HTTP/1.1, and give back the answer."""
    connection = http.client.HTTPConnection(address)
    try:
        connection.request("POST", body.path, body.content, dict(body.headers))
        answer = connection.getresponse()
        told = answer.read()
    finally:
        connection.close()
    if answer.status != http.client.OK:
        raise RuntimeError(f"answered {answer.status}: {told[:500]!r}")
    return told


def _wrk(tool: str, body: Body, loader: Loader) -> list[str]:
    script = loader.scratch / "post.lua"
    headers = "".join(f"wrk.headers['{name}'] = '{v}'\n" for name, v in body.headers.items())
    script.write_text(
        f"wrk.method = 'POST'\nwrk.body = io.open('{loader.scratch}/body', 'rb'):read('*a')\n{headers}"
    )
    return [tool, "-t1", f"-c{loader.callers}", f"-d{loader.seconds}s", "--timeout", "30s",
            "--latency", "-s", str(script)]  # fmt: skip


def _h2load(tool: str, body: Body, content: Path, loader: Loader) -> list[str]:
    connections = min(4, loader.callers)
    headers = [part for name, value in body.headers.items() for part in ("-H", f"{name}: {value}")]
    return [tool, "-t1", f"-c{connections}", f"-m{max(1, loader.callers // connections)}",
            f"-D{loader.seconds}", f"-w{_WINDOW_BITS}", f"-W{_WINDOW_BITS}", "-d", str(content),
            *headers]  # fmt: skip


def read_h2load(text: str, least_bytes: int) -> Asked:
    """What h2load's report says; an answer that brought less than `least_bytes` is an error."""
    requests = int(_find(r"(\d+) done,", text))
    answered = int(_find(r"\((\d+)\) data", text)) // least_bytes
    errors = int(_find(r"(\d+) failed,", text)) + max(0, requests - answered)
    return Asked(requests, errors)


def _find(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    if found is None:
        raise ValueError(f"no {pattern!r} in what was printed:\n{text}")
    return found[1]
