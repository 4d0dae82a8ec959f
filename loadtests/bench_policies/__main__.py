"""Measure, print, and with `--save` write it down: `python -m loadtests.bench_policies [--save]`.

The same arrivals, the same backend, the same link to it; only the policy differs. Loads are parts of what the backend
does with full batches one after the other. The policies of others are given `--wait-ms` to wait.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

import numpy as np

from loadtests.bench.processes import ROOT
from loadtests.bench_overload.rows import shortened
from loadtests.bench_policies.drive import drive
from loadtests.bench_policies.model import Sentences, torch_server
from loadtests.bench_policies.policies import POLICIES
from loadtests.bench_policies.section import section, targets
from loadtests.open_loop import poisson
from loadtests.peers.questions import questions
from loadtests.results import Benchmark, Row

BENCHMARK = Benchmark("policies", section)
WARM_RATIO = 0.2


def main() -> int:
    """Run; 1 if an answer was wrong."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as folder, torch_server(Path(folder)) as address:
        rows = asyncio.run(_measured(address, arguments))
    reached = targets(rows)
    for target in reached:
        print(target.verdict)
    if arguments.save:
        names = ("rounds", "seconds", "max_batch_rows", "wait_ms", "tokens")
        settings = {name: getattr(arguments, name) for name in names}
        BENCHMARK.keep(rows, targets=reached, settings=settings)
    return 1 if any(row["wrong"] for row in rows) else 0


async def _measured(address: str, arguments: argparse.Namespace) -> list[Row]:
    asked = shortened(questions(ROOT / "model_store", "minilm"), arguments.tokens)
    sentences = Sentences(address, asked)
    capacity = await sentences.full_batches_per_s(arguments.max_batch_rows, arguments.seconds / 2)
    print(f"capacity: {capacity:,.0f} rows/s in batches of {arguments.max_batch_rows}", flush=True)
    rows: list[Row] = []
    for round_ in range(arguments.rounds):
        for part in arguments.loads:
            for policy in arguments.policies:
                row = await _run(
                    sentences, policy, part, capacity, seed=round_, arguments=arguments
                )
                rows.append(row)
                print(_line(row), flush=True)
    await sentences.aclose()
    return rows


async def _run(
    sentences: Sentences,
    policy: str,
    part: float,
    capacity_per_s: float,
    *,
    seed: int,
    arguments: argparse.Namespace,
) -> Row:
    rate_per_s = part * capacity_per_s
    due = poisson(rate_per_s=rate_per_s, seconds=arguments.seconds, seed=seed)
    scheduler = POLICIES[policy](arguments.max_batch_rows, arguments.wait_ms / 1e3)
    before = sentences.wrong
    driven = await drive(scheduler, due.tolist(), sentences.send)
    counted = np.array(driven.latencies_s)[due >= WARM_RATIO * arguments.seconds] * 1e3
    p50, p99 = np.percentile(counted, [50, 99], method="inverted_cdf")
    return {
        "policy": policy,
        "load": part,
        "rate_per_s": rate_per_s,
        "p50_ms": float(p50),
        "p99_ms": float(p99),
        "rows_a_batch": float(np.mean(driven.batches)),
        "late_p99_ms": float(np.percentile(np.array(driven.late_s) * 1e3, 99)),
        "wrong": sentences.wrong - before,
    }


def _line(row: Row) -> str:
    return (
        f"{row['policy']:20} {row['load']:5g} of capacity  p50 {row['p50_ms']:8,.1f} ms  p99 {row['p99_ms']:8,.1f} ms"
        f"  {row['rows_a_batch']:5.1f} rows a batch"
    )


def _arguments() -> argparse.Namespace:
    parser = BENCHMARK.parser(__doc__)
    parser.add_argument("--policies", nargs="+", choices=POLICIES, default=list(POLICIES))
    parser.add_argument("--loads", nargs="+", type=float, default=[0.25, 0.5, 0.8, 0.9])
    parser.add_argument("--seconds", type=float, default=10.0, help="of each run")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--max-batch-rows", type=int, default=16)
    parser.add_argument("--wait-ms", type=float, default=10.0, help="what the others wait")
    parser.add_argument("--tokens", type=int, default=16, help="of each sentence, padded to that")
    return BENCHMARK.begin(parser)


if __name__ == "__main__":
    sys.exit(main())
