"""What does a request cost a server, in processor time? The gateway and an echo in turn, round by round."""

from __future__ import annotations

import math
import os
import re
import statistics
import sys
import time
import urllib.request
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import orjson

from loadtests.bench.processes import Running
from loadtests.bench.stack import GATEWAY_CORE
from loadtests.bench_wire.bodies import SIZES, Body, Wire, body_of
from loadtests.bench_wire.load import Loader, ask, post
from loadtests.bench_wire.stack import Stack

__all__ = ["Case", "Found", "cpu_seconds_of", "loader_of", "measure", "told", "us_each"]

_CALLERS = {"4B": 64, "10KB": 64, "600KB": 8, "6MB": 4}
_CALLERS_OF_JSON = {
    **_CALLERS,
    "600KB": 4,
    "6MB": 1,
}  # what they leave unfinished is booked, not counted
_WARM_S = 1
_PARSE_S = 0.5  # of each measurement of the parse alone


@dataclass(frozen=True, slots=True)
class Case:
    """One line of the table: `model` is what the backend answers with."""

    wire: Wire
    size: str
    model: str


@dataclass(frozen=True, slots=True)
class Found:
    """Microseconds of processor time a request, round by round.

    `parse_us` is what orjson and numpy take for the parse alone, of JSON only.
    """

    case: Case
    gateway_us: list[float] = field(default_factory=list)
    echo_us: list[float] = field(default_factory=list)
    parse_us: list[float] = field(default_factory=list)
    batch_rows: list[float] = field(default_factory=list)
    errors: list[int] = field(default_factory=list)

    @property
    def ratios(self) -> list[float]:
        """Requests/s per core of the gateway, divided by the echo's, round by round."""
        return _ratios(self.echo_us, self.gateway_us)

    def row(self) -> str:
        """The line of the table."""
        gateway, echo = statistics.median(self.gateway_us), statistics.median(self.echo_us)
        return (
            f"| {self.case.wire} | {self.case.size} | {self.case.model} | {gateway:,.0f} | {echo:,.0f}"
            f" | {1e6 / gateway:,.0f} | {1e6 / echo:,.0f} | {told(self.echo_us, self.gateway_us)}"
            f" | {statistics.median(self.batch_rows):.1f} |"
        )

    def row_of_parse(self) -> str:
        """The line below it, for JSON: the gateway's time divided by that of the parse alone."""
        return (
            f"| · beside the parse alone | {self.case.size} | {self.case.model}"
            f" | {statistics.median(self.gateway_us):,.0f} | {statistics.median(self.parse_us):,.0f}"
            f" | | | × {told(self.gateway_us, self.parse_us)} | |"
        )


def told(times: list[float], others: list[float]) -> str:
    """How much longer `times` are than `others`, the median and each round, as two cells of a table."""
    ratios = _ratios(times, others)
    return f"{statistics.median(ratios):.2f} | {' · '.join(f'{ratio:.2f}' for ratio in ratios)}"


def _ratios(times: list[float], others: list[float]) -> list[float]:
    return [time / other for time, other in zip(times, others, strict=True)]


def measure(case: Case, stack: Stack, loader: Loader, rounds: int) -> Found:
    """Ask the gateway and the echo in turn, and parse JSON alone on the same core, round by round."""
    loader = loader_of(case, loader)
    body = body_of(case.wire, SIZES[case.size], case.model)
    is_grpc = case.wire == "gRPC raw"
    gateway_at, echo_at = (
        (stack.grpc, stack.echo_grpc) if is_grpc else (stack.rest, stack.echo_rest)
    )
    found = Found(case)
    for address in (gateway_at, echo_at):
        ask(address, case.wire, body, replace(loader, seconds=_WARM_S))
    for _ in range(rounds):
        batches = _batches(stack, case.model)
        for server, address, spent in (
            (stack.gateway, gateway_at, found.gateway_us),
            (stack.echo, echo_at, found.echo_us),
        ):
            spent.append(us_each(server, address, (case.wire, body, loader), found))
        if case.wire == "REST JSON" and case.size != "4B":
            found.parse_us.append(_parse_us(body.content, GATEWAY_CORE))
        rows, count = (
            now - then for now, then in zip(_batches(stack, case.model), batches, strict=True)
        )
        found.batch_rows.append(rows / max(1, count))
    return found


def loader_of(case: Case, loader: Loader) -> Loader:
    """The loader with as many callers as the case has."""
    callers = _CALLERS_OF_JSON if case.wire == "REST JSON" else _CALLERS
    return replace(loader, callers=callers[case.size])


def us_each(server: Running, address: str, what: tuple[Wire, Body, Loader], found: Found) -> float:
    """Microseconds of processor time that a request costs the server; errors are noted in `found`."""
    wire, body, _ = what
    if wire != "gRPC raw":
        # The callers before left, and with them the process that read for one; not ours to pay for.
        post(address, body)
    before = cpu_seconds_of(server.process.pid)
    asked = ask(address, *what)
    used_s = cpu_seconds_of(server.process.pid) - before
    found.errors.append(asked.errors)
    if asked.errors or not asked.requests:
        print(f"{asked.errors} errors of {asked.requests}: {found.case}", file=sys.stderr)
    return used_s / max(1, asked.requests) * 1e6 or math.nan


def _batches(stack: Stack, model: str) -> tuple[float, float]:
    """The rows sent to the backend so far, and in how many batches."""
    with urllib.request.urlopen(f"http://{stack.admin}/metrics", timeout=10) as page:
        text = page.read().decode()
    found = []
    for part in ("sum", "count"):
        line = re.search(
            rf'^tandem_batch_rows_{part}\{{[^}}]*model="{model}"[^}}]*\}} (\S+)', text, re.MULTILINE
        )
        found.append(float(line[1]) if line else 0.0)
    return found[0], found[1]


def cpu_seconds_of(pid: int) -> float:
    """Processor time that a process and its descendants have used, user and system."""
    stats = _stats()
    family = {pid}
    while more := {child for child, (parent, _) in stats.items() if parent in family} - family:
        family |= more
    return sum(stats[member][1] for member in family) / os.sysconf("SC_CLK_TCK")


def _stats() -> dict[int, tuple[int, int]]:
    """Every process's parent and the clock ticks it has used."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):  # it ended while we looked
            fields = stat.read_text().rsplit(")", 1)[1].split()
            # Its own, and that of children that ended: a worker whose callers leave is killed.
            found[int(stat.parent.name)] = (int(fields[1]), sum(map(int, fields[11:15])))
    return found


def _parse_us(content: bytes, core: int) -> float:
    """The yardstick of JSON: what orjson and numpy take for the parse alone, the mean."""
    home = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        _parse(content)  # what a first one pays for memory, the next do not
        started, count = time.process_time(), 0
        while (used_s := time.process_time() - started) < _PARSE_S:
            _parse(content)
            count += 1
    finally:
        os.sched_setaffinity(0, home)
    return used_s / count * 1e6


def _parse(content: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.array(orjson.loads(content)["inputs"][0]["data"], np.float32)
