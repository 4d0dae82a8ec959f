"""Measure, print, and with `--save` write it down: `python -m loadtests.bench_plan [--save]`.

For each backend and round: measure the latency curve through a real gateway, by a lone caller; ask `tandem plan`
what Poisson arrivals will meet at several loads below capacity; offer exactly those in an open loop, with
latencies from the intended send time; print how far the prediction was off.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from loadtests.bench.processes import ROOT
from loadtests.bench.stack import BACKEND_CORE, GATEWAY_CORE
from loadtests.bench_plan.asked import BACKENDS, Asked
from loadtests.bench_plan.curve import measure
from loadtests.bench_plan.section import line, section, targets
from loadtests.bench_plan.stack import Pace, stack
from loadtests.open_loop import offer, poisson
from loadtests.results import Benchmark, Row

BENCHMARK = Benchmark("plan", section)
MAX_BATCH_ROWS = 32
SIZES = [1, 2, 4, 8, 16, 32]
WARM_RATIO = 0.1  # of each run, not counted, as in the simulation


def main() -> int:
    """Run, print, and save if asked to."""
    arguments = _arguments()
    if len(os.sched_getaffinity(0)) < 2:  # noqa: PLR2004 - one for the gateway, one for the backend
        sys.exit("two cores are needed: one for the gateway, one for the backend")
    rows = list(_rows(arguments))
    reached = targets(rows)
    for target in reached:
        print(target.verdict)
    if arguments.save:
        settings = {"max_batch_rows": MAX_BATCH_ROWS, "seconds": arguments.seconds}
        settings |= {"paced: ms of a batch": arguments.fixed_ms, "and of a row": arguments.row_ms}
        BENCHMARK.keep(rows, targets=reached, settings=settings)
    return 0


def _arguments() -> argparse.Namespace:
    parser = BENCHMARK.parser(__doc__)
    parser.add_argument(
        "--backends", nargs="+", choices=BACKENDS, default=["paced", "minilm"], metavar="NAME"
    )
    parser.add_argument(
        "--loads", nargs="+", type=float, default=[0.25, 0.5, 0.7, 0.85], help="of capacity"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each load")
    parser.add_argument("--curve-seconds", type=float, default=6.0, help="of measuring the curve")
    parser.add_argument("--fixed-ms", type=float, default=5.0, help="of a batch, by paced")
    parser.add_argument("--row-ms", type=float, default=0.5, help="more for each row, by paced")
    return BENCHMARK.begin(parser)


def _rows(arguments: argparse.Namespace) -> Iterator[Row]:
    for name in arguments.backends:
        asked = BACKENDS[name]
        # The load costs processor time: beside a backend that computes it runs on the gateway's core.
        os.sched_setaffinity(0, {GATEWAY_CORE if asked.is_torch else BACKEND_CORE})
        pace = Pace(arguments.fixed_ms, arguments.row_ms)
        with (
            tempfile.TemporaryDirectory() as folder,
            stack(asked, MAX_BATCH_ROWS, pace, scratch=Path(folder)) as address,
        ):
            for number in range(arguments.rounds):
                curve = Path(folder) / "curve.json"
                told = measure(asked, address, sizes=SIZES, seconds=arguments.curve_seconds)
                curve.write_text(json.dumps(told))
                capacity = _plan(curve, 1.0)["yours"]["capacity_rows_per_s"]
                for share in arguments.loads:
                    plan = _plan(curve, share * capacity)
                    row = _row(asked, address, plan, seconds=arguments.seconds, seed=number)
                    found = {"backend": name, "round": number, "load": share, **row}
                    print(" | ".join(line(found)), flush=True)
                    yield found


def _row(
    asked: Asked, address: str, plan: Any, *, seconds: float, seed: int
) -> dict[str, float | bool]:
    """One load, predicted and measured."""
    rate, predicted = plan["load"]["requests_per_s"], plan["yours"]
    arrivals = poisson(rate_per_s=rate, seconds=seconds, seed=seed)
    offered = offer(address, [asked.request(1)], arrivals, grace_s=30.0)
    found = offered.summary(warm_s=seconds * WARM_RATIO)
    if found.errors or found.unanswered or found.p50_ms is None or found.p99_ms is None:
        sys.exit(f"{asked.model}: {found.errors} errors, {found.unanswered} without an answer")
    latency = predicted["latency_ms"]
    return {
        "rate_per_s": rate,
        "offered_per_s": found.offered_per_s,
        "p50_predicted_ms": latency["p50"]["middle"],
        "p50_ms": found.p50_ms,
        "p99_predicted_ms": latency["p99"]["middle"],
        "p99_ms": found.p99_ms,
        "rows_per_batch_predicted": predicted["rows_per_batch"],
        "valid": found.valid,
    }


def _plan(curve: Path, rate: float) -> Any:
    """What `tandem plan` says, as a user would ask it."""
    argv = [sys.executable, "-m", "gateway", "plan", "--json", "--curve", curve]
    argv += ["--rate", f"{rate:.6g}", "--max-batch-rows", f"{MAX_BATCH_ROWS}"]
    ran = subprocess.run(list(map(str, argv)), cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(ran.stdout)


if __name__ == "__main__":
    sys.exit(main())
