"""Search the highest valid rate of each model and arm: `python -m loadtests.bench_loadgen [--save]`.

LoadGen's Server scenario sends queries as a Poisson process and calls a run VALID if its 99th percentile keeps the
bound, with statistical confidence. MLPerf wants ten minutes and 270,336 queries a run; these runs are much shorter
(`--seconds`, `--min-queries`), so that their rates are no MLPerf results: they only use its rules and its generator.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np

from loadtests.bench.processes import ROOT
from loadtests.bench_loadgen.attempt import Scenario, attempt
from loadtests.bench_loadgen.search import highest_valid
from loadtests.bench_loadgen.section import section
from loadtests.bench_loadgen.stack import stack
from loadtests.bench_overload.rows import shortened
from loadtests.open_loop import offer, post
from loadtests.peers.forms import TFS
from loadtests.peers.peer import Model
from loadtests.peers.questions import Questions, questions
from loadtests.results import Benchmark, Row

BENCHMARK = Benchmark("loadgen", section)
PATH = "/v1/models/{model}:predict"
MODELS: tuple[Model, ...] = ("iris", "minilm")
ARMS = ("torch", "tf")
LATENCY_MS = {"iris": 20.0, "minilm": 250.0}
PARALLEL = 64
PILOT = 2000  # queries at most, to learn where to begin


def main() -> int:
    """Search; 1 if an answer was wrong."""
    arguments = _arguments()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder, stack(Path(folder)) as address:
        for model in arguments.models:
            asked = questions(ROOT / "model_store", model)
            if model == "minilm":
                asked = shortened(asked, arguments.tokens)
            for arm in arguments.arms:
                search = _Search(
                    address=address,
                    model=model,
                    arm=arm,
                    asked=asked,
                    arguments=arguments,
                    folder=Path(folder),
                )
                rows += search.run()
    if arguments.save:
        versions = {"mlcommons-loadgen": version("mlcommons-loadgen")}
        settings = {"seconds": arguments.seconds, "min queries": arguments.min_queries}
        BENCHMARK.keep(rows, settings=settings, versions=versions)
    return 1 if any(row["wrong"] for row in rows) else 0


class _Search:
    """The search for one model and arm."""

    def __init__(
        self,
        *,
        address: str,
        model: Model,
        arm: str,
        asked: Questions,
        arguments: argparse.Namespace,
        folder: Path,
    ) -> None:
        self._address = address
        self._model = model
        self._arm = arm
        self._asked = asked
        self._arguments = arguments
        self._folder = folder
        self._scenario = Scenario(
            latency_ms=arguments.latency_ms or LATENCY_MS[model],
            seconds=arguments.seconds,
            min_queries=arguments.min_queries,
        )
        self._requests = [
            _to_arm(post(PATH.format(model=model), TFS.write(row)), arm) for row in asked.rows
        ]
        self._rows: list[Row] = []

    def run(self) -> list[Row]:
        """Every rate that was tried, in that order."""
        arguments = self._arguments
        start = self._pilot_per_s() / 2
        best = highest_valid(
            self._is_valid, start=start, precision=arguments.precision, most=arguments.most
        )
        found = "no valid rate" if best is None else f"highest VALID rate {best:,.0f}/s"
        print(f"{self._model} on {self._arm}: {found}", flush=True)
        return self._rows

    def _pilot_per_s(self) -> float:
        """Roughly what callers who wait for each other get; the first second goes into warming up."""
        rate = 0.0
        for number in (PARALLEL, 4 * PARALLEL, PILOT if self._model == "iris" else 6 * PARALLEL):
            found = offer(
                self._address, self._requests, np.zeros(number), connections=PARALLEL, grace_s=60.0
            )
            rate = number / float(np.nanmax(found.answered_s))
        return rate

    def _is_valid(self, rate_per_s: float) -> bool:
        found = attempt(
            rate_per_s,
            self._scenario,
            address=self._address,
            requests=self._requests,
            questions=self._asked,
            read=TFS.read,
            folder=self._folder,
        )
        print(
            f"{self._model} on {self._arm}, {rate_per_s:,.0f}/s: p50 {found.p50_ms:.1f} ms, p99 {found.p99_ms:.1f} ms,"
            f" {found.queries} queries: {found.reason or 'VALID'}",
            flush=True,
        )
        about: Row = {
            "model": self._model,
            "arm": self._arm,
            "latency_ms": self._scenario.latency_ms,
        }
        self._rows.append({**about, **dataclasses.asdict(found)})
        return found.is_valid


def _to_arm(request: bytes, arm: str) -> bytes:
    head, blank, body = request.partition(b"\r\n\r\n")
    return b"%s\r\nX-Tandem-Arm: %s%s%s" % (head, arm.encode(), blank, body)


def _arguments() -> argparse.Namespace:
    parser = BENCHMARK.parser(__doc__)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--seconds", type=float, default=10.0, help="of each run, at least")
    parser.add_argument("--min-queries", type=int, default=1000, help="of each run")
    parser.add_argument(
        "--latency-ms", type=float, help=f"the bound; default by model: {LATENCY_MS}"
    )
    parser.add_argument("--precision", type=float, default=0.05, help="0.05: to within 5 %%")
    parser.add_argument("--most", type=int, default=9, help="runs for each model and arm")
    parser.add_argument("--tokens", type=int, default=32, help="of each sentence, padded to that")
    return BENCHMARK.begin(parser)


if __name__ == "__main__":
    sys.exit(main())
