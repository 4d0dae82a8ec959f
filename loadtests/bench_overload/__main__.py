"""Measure, print, and with `--save` write it down: `python -m loadtests.bench_overload [--save]`.

Each server is offered multiples of what it can do by itself, by callers who do not wait for each other and to whom
an answer after the deadline is worth nothing. What it can do is measured first, by callers who wait for each other.
"""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import signal
import sys
import tempfile
from pathlib import Path

from loadtests.bench.processes import ROOT
from loadtests.bench_overload.arms import ARMS, MODEL
from loadtests.bench_overload.measure import Plan, measure
from loadtests.bench_overload.rows import shortened
from loadtests.bench_overload.section import line, section
from loadtests.bench_overload.targets import targets
from loadtests.peers.questions import questions
from loadtests.results import Row, load, render, save

NAME = "overload"


def main() -> int:
    """Run; 1 if an answer was wrong."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and stop what was started
    if arguments.render:
        render(NAME, section(load(NAME)))
        return 0
    plan = Plan(
        loads=arguments.loads,
        seconds=arguments.seconds,
        surge_load=max(arguments.loads),
        surge_s=arguments.surge_seconds,
        after_s=2 * arguments.surge_seconds,
        deadline_s=arguments.deadline_ms / 1e3,
    )
    rows = _measured(arguments.servers, plan, arguments.tokens)
    reached = targets(rows, plan.deadline_s)
    for target in reached:
        print(target.verdict)
    if arguments.save:
        settings = {**dataclasses.asdict(plan), "tokens": arguments.tokens}
        settings["loads"] = " ".join(map(str, plan.loads))
        versions = {
            ARMS[name].peer.title: ARMS[name].peer.installed() for name in arguments.servers
        }
        command = shlex.join(["python", "-m", "loadtests.bench_overload", *sys.argv[1:]])
        report = save(
            NAME, command=command, rows=rows, targets=reached, settings=settings, versions=versions
        )
        render(NAME, section(report))
    return 1 if any(row["wrong"] for row in rows) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench_overload", description=__doc__)
    parser.add_argument("--servers", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--loads", nargs="+", type=float, default=[0.5, 0.9, 1.5, 2.0, 3.0])
    parser.add_argument("--seconds", type=float, default=8.0, help="of each load")
    parser.add_argument("--surge-seconds", type=float, default=5.0, help="0 for no surge")
    parser.add_argument("--deadline-ms", type=float, default=500.0)
    parser.add_argument("--tokens", type=int, default=32, help="of each sentence, padded to that")
    parser.add_argument("--save", action="store_true", help="write results/ and the manual")
    parser.add_argument("--render", action="store_true", help="only the manual, from results/")
    return parser.parse_args()


def _measured(servers: list[str], plan: Plan, tokens: int) -> list[Row]:
    asked = shortened(questions(ROOT / "model_store", MODEL), tokens)
    rows: list[Row] = []

    def show(row: Row) -> None:
        back = "" if row["phase"] == "steady" else f"  recovered after {row['recovery_s']} s"
        print(" | ".join(line({"server": name, **row})) + back, flush=True)

    with tempfile.TemporaryDirectory() as folder:
        for name in servers:
            arm = ARMS[name]
            if arm.peer.missing:
                sys.exit(arm.peer.missing)
            found = measure(arm, asked, plan, scratch=Path(folder), show=show)
            rows += [{"server": name, **row} for row in found]
    return rows


if __name__ == "__main__":
    sys.exit(main())
