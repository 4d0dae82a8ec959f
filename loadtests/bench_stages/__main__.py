"""Measure, print, and with `--save` write it down: `python -m loadtests.bench_stages [--save]`.

The gateway has a core to itself, backend and load the other. What is saved keeps the run that was saved before it.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from loadtests.bench.stack import BACKEND_CORE, Stack, stack
from loadtests.bench_stages.load import ASKED
from loadtests.bench_stages.rounds import ALL, one_round
from loadtests.bench_stages.section import NOW, as_before, section
from loadtests.bench_wire.load import Loader
from loadtests.results import FOLDER, Benchmark, Row, load

BENCHMARK = Benchmark("stages", section)


def main() -> int:
    """Run; 1 if an answer was an error, and then nothing is saved."""
    arguments = _arguments()
    if len(os.sched_getaffinity(0)) < 2:  # noqa: PLR2004  # one for the gateway, one for the rest
        sys.exit("two cores are needed: one for the gateway, one for everything else")
    with tempfile.TemporaryDirectory() as folder, stack(Path(folder)) as served:
        rows = _measured(served, Path(folder), arguments)
    errors = sum(int(row["errors"] or 0) for row in rows if row["stage"] == ALL)
    if errors:
        print(f"{errors} errors", file=sys.stderr)
    elif arguments.save:
        _save(rows, arguments)
    return 1 if errors else 0


def _measured(served: Stack, scratch: Path, arguments: argparse.Namespace) -> list[Row]:
    loader = Loader(
        callers=arguments.callers, seconds=arguments.seconds, core=BACKEND_CORE, scratch=scratch
    )
    rows: list[Row] = []
    for _ in range(arguments.rounds):
        for wire in arguments.wires:
            found = one_round(served, wire, loader, arguments.rate)
            print("\n".join(map(_line, found)), flush=True)
            rows += [{"run": NOW, **row} for row in found]
    return rows


def _line(row: Row) -> str:
    line = f"{row['wire']:10} {row['stage']:28} {row['us']:7.1f} µs"
    if row["stage"] != ALL:
        return line
    return (
        f"{line}, {row['per_s']:,.0f} requests/s; with the profiler {row['profiled_us']:.1f} µs,"
        f" {row['profiled_per_s']:,.0f} requests/s, {row['stacks']} stacks"
    )


def _save(rows: list[Row], arguments: argparse.Namespace) -> None:
    names = ("rounds", "seconds", "callers", "rate")
    settings = {name: getattr(arguments, name) for name in names}
    if (FOLDER / f"{BENCHMARK.name}.json").exists():
        last = load(BENCHMARK.name)
        rows = [*rows, *as_before(last)]
        settings["before"] = f"commit `{last.commit}`, {last.taken[:10]}"
    versions = {"py-spy": version("py-spy")}
    BENCHMARK.keep(rows, settings=settings, versions=versions)


def _arguments() -> argparse.Namespace:
    parser = BENCHMARK.parser(__doc__)
    parser.add_argument("--wires", nargs="+", choices=ASKED, default=list(ASKED))
    parser.add_argument("--callers", type=int, default=64)
    parser.add_argument("--seconds", type=int, default=15, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rate", type=int, default=20, help="stacks a second")
    return BENCHMARK.begin(parser)


if __name__ == "__main__":
    sys.exit(main())
