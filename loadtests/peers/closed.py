"""How many rows a second from callers that each wait for their answer? wrk asks, row after row."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from loadtests.bench.wrk import Load, read

__all__ = ["closed"]

TIMEOUT_S = 30  # an answer that takes longer is an error


def closed(
    address: str,
    path: str,
    bodies: Sequence[bytes],
    *,
    connections: int,
    seconds: int,
    cores: Sequence[int],
    scratch: Path,
) -> Load:
    """Post the bodies in turn from so many connections; one thread, on `cores`."""
    wrk = shutil.which("wrk")
    if wrk is None:
        sys.exit("wrk is not installed; on Debian: apt-get install wrk")
    script = scratch / "ask.lua"
    script.write_text(_script(bodies))
    ran = subprocess.run(
        ["taskset", "-c", ",".join(map(str, cores)), wrk, "-t1", f"-c{connections}",  # noqa: S607
         f"-d{seconds}s", "--timeout", f"{TIMEOUT_S}s", "--latency", "-s", script,
         f"http://{address}{path}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return read(ran.stdout)


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
