"""Measure, and print a table: `python -m loadtests.bench_wire [--rounds 3] [--seconds 2]`.

REST with JSON, REST with binary tensors, and gRPC with raw ones, at four sizes: processor time a request of
the gateway, and of a bare echo of the same bytes on the same server and core, in turn. The backend, on the
other core with the load, answers with what it was sent (`same`) or with one number (`brief`).
Under each line of JSON stands what orjson and numpy take for the parse alone, in the same rounds.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from loadtests.bench.stack import BACKEND_CORE
from loadtests.bench_wire.backend import MODELS
from loadtests.bench_wire.bodies import SIZES, WIRES
from loadtests.bench_wire.load import Loader
from loadtests.bench_wire.memory import ENVIRONMENT, copies_of
from loadtests.bench_wire.rounds import Case, measure
from loadtests.bench_wire.stack import LINKS, Stack, stack

_HEADER = """\
| wire | tensor | answer | gateway, CPU µs | echo, CPU µs | gateway, requests/s a core | echo | ratio | each round | rows a batch |
|---|--:|---|--:|--:|--:|--:|--:|---|--:|"""
_IMAGE = "600KB"


def main() -> int:
    """Run what was asked for and print the tables; 1 if an answer was an error."""
    arguments = _parser().parse_args()
    if len(os.sched_getaffinity(0)) < 2:  # noqa: PLR2004  # one for the gateway, one for the rest
        sys.exit("two cores are needed: one for the gateway, one for everything else")
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        if arguments.memory:
            with stack(scratch, environment=ENVIRONMENT, link=arguments.backend) as served:
                _memory(served)
            return 0
        with stack(scratch, delay_ms=arguments.delay_ms, link=arguments.backend) as served:
            loader = Loader(
                callers=1, seconds=arguments.seconds, core=BACKEND_CORE, scratch=scratch
            )
            return _rounds(arguments, served, loader)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench_wire", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=2, help="of each measurement")
    parser.add_argument(
        "--delay-ms", type=float, default=0.0, help="the models' max_delay_ms, default: %(default)s"
    )
    parser.add_argument(
        "--backend", choices=LINKS, default=LINKS[0], help="how it is asked, default: %(default)s"
    )
    parser.add_argument("--wires", default=",".join(WIRES), help="of: %(default)s")
    parser.add_argument("--sizes", default=",".join(SIZES), help="of: %(default)s")
    parser.add_argument("--answers", default=",".join(MODELS), help="of: %(default)s")
    parser.add_argument(
        "--memory", action="store_true", help="count the copies of a 600 KB tensor instead"
    )
    return parser


def _rounds(arguments: argparse.Namespace, served: Stack, loader: Loader) -> int:
    print(_HEADER, flush=True)
    errors = 0
    for wire in WIRES:
        for size in SIZES:
            for model in MODELS:
                if (
                    wire in arguments.wires.split(",")
                    and size in arguments.sizes.split(",")
                    and model in arguments.answers.split(",")
                ):
                    found = measure(Case(wire, size, model), served, loader, arguments.rounds)
                    print(found.row(), flush=True)
                    if found.parse_us:
                        print(found.row_of_parse(), flush=True)
                    errors += sum(found.errors)
    return 1 if errors else 0


def _memory(served: Stack) -> None:
    print("| wire | tensor | answer | copies at once | copies made |\n|---|--:|---|--:|--:|")
    for model in MODELS:
        for wire in ("REST binary", "gRPC raw"):
            found = copies_of(wire, SIZES[_IMAGE], model, served)
            print(f"| {wire} | {_IMAGE} | {model} | {found.at_once:.1f} | {found.made:.1f} |")


if __name__ == "__main__":
    sys.exit(main())
