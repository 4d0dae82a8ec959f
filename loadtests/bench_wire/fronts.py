"""What does a request cost behind either front: `python -m loadtests.bench_wire.fronts [--rounds 3]`.

Two gateways, one with servers of its own and one inside Envoy, each in front of a backend of its own that
answers with what it was sent; both on one core, asked in turn, round by round. A gateway's processor time
is that of all its threads and processes, Envoy's included; the
least of the rounds is told.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from loadtests.bench.stack import BACKEND_CORE
from loadtests.bench_wire.bodies import SIZES, WIRES, Wire, body_of
from loadtests.bench_wire.load import Loader, ask
from loadtests.bench_wire.rounds import Case, Found, loader_of, us_each
from loadtests.bench_wire.stack import Front, Stack, stack

_HEADER = """\
| wire | tensor | own, CPU µs | Envoy, CPU µs | own, requests/s a core | Envoy | ratio | each round |
|---|--:|--:|--:|--:|--:|--:|---|"""
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
    for served in stacks:
        ask(_address(served, case.wire), case.wire, what[1], replace(loader, seconds=_WARM_S))
    spent: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for served, times in zip(stacks, spent, strict=True):
            times.append(us_each(served.gateway, _address(served, case.wire), what, found))
    own, envoy = map(min, spent)  # what is more, the machine did for others
    ratios = [ours / theirs for ours, theirs in zip(*spent, strict=True)]
    print(
        f"| {case.wire} | {case.size} | {own:,.0f} | {envoy:,.0f} | {1e6 / own:,.0f} | {1e6 / envoy:,.0f}"
        f" | {own / envoy:.2f} | {' · '.join(f'{ratio:.2f}' for ratio in ratios)} |",
        flush=True,
    )
    return sum(found.errors)


def _address(served: Stack, wire: Wire) -> str:
    return served.grpc if wire == "gRPC raw" else served.rest


if __name__ == "__main__":
    sys.exit(main())
