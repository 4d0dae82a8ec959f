"""How many requests a second, closed loop? wrk (Debian package `wrk`) asks, this reads what it found."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Load", "load"]

_UNITS_MS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


@dataclass(frozen=True, slots=True)
class Load:
    """What one run found; latencies in milliseconds."""

    per_s: float
    requests: int
    errors: int
    p50_ms: float
    p99_ms: float


def load(
    url: str, body: str, *, connections: int, seconds: float, core: int, scratch: Path
) -> Load:
    """Post `body` to `url` from `connections` that each wait for their answer."""
    wrk, taskset = shutil.which("wrk"), shutil.which("taskset")
    if wrk is None or taskset is None:
        sys.exit("wrk or taskset is not installed; on Debian: apt-get install wrk util-linux")
    script = scratch / "post.lua"
    script.write_text(f"wrk.method = 'POST'\nwrk.body = [==[{body}]==]\n")
    ran = subprocess.run(
        [taskset, "-c", str(core), wrk, "-t1", f"-c{connections}", f"-d{seconds:g}s",
         "--latency", "-s", script, url],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return read(ran.stdout)


def read(text: str) -> Load:
    """The figures in wrk's report."""
    non_2xx = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    sockets = re.search(r"connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    return Load(
        per_s=float(_find(r"Requests/sec:\s+([\d.]+)", text)),
        requests=int(_find(r"(\d+) requests in", text)),
        errors=int(non_2xx[1] if non_2xx else 0)
        + sum(map(int, sockets.groups() if sockets else ())),
        p50_ms=_milliseconds(_find(r"50%\s+([\d.]+[a-z]+)", text)),
        p99_ms=_milliseconds(_find(r"99%\s+([\d.]+[a-z]+)", text)),
    )


def _find(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    if found is None:
        raise ValueError(f"no {pattern!r} in what wrk printed:\n{text}")
    return found[1]


def _milliseconds(text: str) -> float:
    unit = text.lstrip("0123456789.")
    return float(text.removesuffix(unit)) * _UNITS_MS[unit]
