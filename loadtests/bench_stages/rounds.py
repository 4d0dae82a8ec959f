"""What does one round find? The same load without the profiler and with it, one after the other.

A gateway that is stopped for every stack finds its caches cold, and a request costs more. So the CPU that is shared out
is that of the measurement without the profiler; the stacks are those of the one with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from loadtests.bench.stack import GATEWAY_CORE, Stack
from loadtests.bench_stages.load import ASKED, address_of
from loadtests.bench_stages.profiler import cpu_s_of_threads, spent, watched
from loadtests.bench_stages.stacks import read, shared_out
from loadtests.bench_stages.stages import STAGES
from loadtests.bench_wire.bodies import Wire
from loadtests.bench_wire.load import Loader, ask
from loadtests.results import Row

__all__ = ["ALL", "one_round"]

ALL = "all"
"""Where a stage's name stands, in the row of a round's sums."""


@dataclass(frozen=True, slots=True)
class _Busy:
    """A measurement: what was answered, and the seconds of CPU by thread that it took."""

    requests: int
    errors: int
    cpu_s_of: Mapping[int, float]

    @property
    def us(self) -> float:
        """CPU a request, all threads together."""
        return sum(self.cpu_s_of.values()) / self.requests * 1e6


def one_round(served: Stack, wire: Wire, loader: Loader, rate_per_s: int) -> list[Row]:
    """A row for each stage, and one for all of them.

    Raises:
        ValueError: nothing was answered, or no stack was taken.
    """
    plain = _busy(served, wire, loader)
    pid = served.gateway.process.pid
    with watched(pid, rate_per_s, loader.scratch, core=GATEWAY_CORE) as file:
        warm = _busy(served, wire, loader)  # while it reads symbols
        profiled = _busy(served, wire, loader)
    sampled = read(file.read_text(encoding="utf-8"))
    if not sampled:
        raise ValueError(f"{wire}: the profiler saw no busy thread")
    us_of = shared_out(sampled, plain.cpu_s_of, plain.requests)
    rows: list[Row] = [
        {"wire": wire, "stage": stage, "us": us_of.get(stage, 0.0)} for stage in STAGES
    ]
    sums: Row = {
        "wire": wire,
        "stage": ALL,
        "us": plain.us,
        "per_s": plain.requests / loader.seconds,
        "profiled_us": profiled.us,
        "profiled_per_s": profiled.requests / loader.seconds,
        "stacks": sum(one.times for one in sampled),
        "errors": plain.errors + warm.errors + profiled.errors,
    }
    return [*rows, sums]


def _busy(served: Stack, wire: Wire, loader: Loader) -> _Busy:
    pid = served.gateway.process.pid
    before = cpu_s_of_threads(pid)
    found = ask(address_of(wire, served), wire, ASKED[wire], loader)
    if found.requests == 0:
        raise ValueError(f"{wire}: nothing was answered")
    return _Busy(found.requests, found.errors, spent(before, cpu_s_of_threads(pid)))
