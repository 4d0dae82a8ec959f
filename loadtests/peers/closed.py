"""How many rows a second from callers that each wait for their answer? wrk asks, row after row."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from loadtests.bench.wrk import Load, read

__all__ = ["Closed", "closed"]

TIMEOUT_S = 30  # an answer that takes longer is an error


@dataclass(frozen=True, slots=True)
class Closed:
    """What wrk found, and which part of the time its one thread was at work: near 1 it was the bottleneck."""

    load: Load
    busy_ratio: float

    @property
    def good_per_s(self) -> float:
        """Answers a second without the errors, which a server may well give faster."""
        load = self.load
        return load.per_s * max(load.requests - load.errors, 0) / max(load.requests, 1)


def closed(
    address: str,
    path: str,
    bodies: Sequence[bytes],
    *,
    connections: int,
    seconds: int,
    cores: Sequence[int],
    scratch: Path,
) -> Closed:
    """Post the bodies in turn from so many connections; one thread, on `cores`.

    Raises:
        subprocess.SubprocessError: wrk could not connect, or does not end.
    """
    wrk = shutil.which("wrk")
    if wrk is None:
        sys.exit("wrk is not installed; on Debian: apt-get install wrk")
    script = scratch / "ask.lua"
    script.write_text(_script(bodies))
    used_s, began = _children_s(), time.perf_counter()
    ran = subprocess.run(
        ["taskset", "-c", ",".join(map(str, cores)), wrk, "-t1", f"-c{connections}",  # noqa: S607
         f"-d{seconds}s", "--timeout", f"{TIMEOUT_S}s", "--latency", "-s", script,
         f"http://{address}{path}"],
        capture_output=True, text=True, check=True, timeout=seconds + TIMEOUT_S,
    )  # fmt: skip
    spent_s = time.perf_counter() - began
    return Closed(read(ran.stdout), (_children_s() - used_s) / spent_s)


def _children_s() -> float:
    """Processor time of the children that have ended; between two calls here, that is wrk alone."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _script(bodies: Sequence[bytes]) -> str:
    """Every request is written before the first is sent."""
    listed = ",\n".join(f"[==[{body.decode()}]==]" for body in bodies)
    return f"""
local bodies = {{{listed}}}
local requests, n = {{}}, 0
wrk.headers["Content-Type"] = "application/json"
function init(args)
  for i, body in ipairs(bodies) do requests[i] = wrk.format("POST", nil, nil, body) end
end
function request()
  n = n % #requests + 1
  return requests[n]
end
"""
