"""What does a request cost behind either front: `python -m loadtests.bench_wire.fronts [--rounds 3]`.

Two gateways, one with servers of its own and one inside Envoy, each in front of a backend of its own that
answers with what it was sent, and a bare echo on what the first one's servers are made of; all on one core, asked in
turn, round by round. A gateway's processor time is that of all its threads and processes, Envoy's included; the median
of the rounds is told.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from dataclasses import replace
from operator import truediv
from pathlib import Path

from loadtests.bench.stack import BACKEND_CORE
from loadtests.bench_wire.bodies import SIZES, WIRES, body_of
from loadtests.bench_wire.load import Loader, ask
from loadtests.bench_wire.rounds import Case, Found, loader_of, told, us_each
from loadtests.bench_wire.stack import Front, Stack, stack

_HEADER = """\
| wire | tensor | echo, CPU µs | own, CPU µs | Envoy, CPU µs | own ÷ Envoy | echo ÷ own | each round | echo ÷ Envoy | each round |
|---|--:|--:|--:|--:|--:|--:|---|--:|---|"""
_MODEL = "same"
_FRONTS: tuple[Front, ...] = ("own", "envoy")
_WARM_S = 1


def main() -> int:
    """Measure and print the table; 1 if an answer was an error."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench_wire.fronts")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=2, help="of each measurement")
    parser.add_argument("--wires", default=",".join(WIRES), help="of: %(default)s")
    parser.add_argument("--sizes", default="4B,10KB,600KB", help="default: %(default)s")
    arguments = parser.parse_args()
    errors = 0
    with tempfile.TemporaryDirectory() as folder:
        places = [Path(folder) / front for front in _FRONTS]
        for place in places:
            place.mkdir()
        own, envoy = places
        with stack(own, front="own") as first, stack(envoy, front="envoy") as second:
            print(_HEADER, flush=True)
            for wire in (wire for wire in WIRES if wire in arguments.wires.split(",")):
                for size in arguments.sizes.split(","):
                    loader = Loader(
                        callers=1, seconds=arguments.seconds, core=BACKEND_CORE, scratch=own
                    )
                    errors += _line(
                        Case(wire, size, _MODEL), (first, second), loader, arguments.rounds
                    )
    return 1 if errors else 0


def _line(case: Case, stacks: tuple[Stack, Stack], loader: Loader, rounds: int) -> int:
    """Print one line of the table; how many answers were errors."""
    loader = loader_of(case, loader)
    what = (case.wire, body_of(case.wire, SIZES[case.size], case.model), loader)
    found = Found(case)
    first = stacks[0]
    is_grpc = case.wire == "gRPC raw"
    asked = [
        (first.echo, first.echo_grpc if is_grpc else first.echo_rest),
        *((served.gateway, served.grpc if is_grpc else served.rest) for served in stacks),
    ]
    for _, address in asked:
        ask(address, case.wire, what[1], replace(loader, seconds=_WARM_S))
    spent: tuple[list[float], ...] = ([], [], [])
    for _ in range(rounds):
        for (server, address), times in zip(asked, spent, strict=True):
            times.append(us_each(server, address, what, found))
    print(_row(case, *spent), flush=True)
    return sum(found.errors)


def _row(case: Case, echo: list[float], own: list[float], envoy: list[float]) -> str:
    middle = [f"{statistics.median(times):,.0f}" for times in (echo, own, envoy)]
    gain = statistics.median(map(truediv, own, envoy))
    cells = [case.wire, case.size, *middle, f"{gain:.2f}", told(echo, own), told(echo, envoy)]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
