"""Is a rate valid? One run of MLPerf LoadGen's Server scenario, and what it said."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlperf_loadgen

from loadtests.bench_loadgen.sender import Sender, sending
from loadtests.open_loop import Answer
from loadtests.peers.judge import OK, Read, judge
from loadtests.peers.questions import Questions

__all__ = ["Attempt", "Scenario", "attempt", "by_sample", "said", "unmet"]

PERCENTILE = 0.99


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What LoadGen is told: its 99th percentile must be within the bound, for this long at least."""

    latency_ms: float
    seconds: float
    min_queries: int = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What came of one rate.

    Attributes:
        rate_per_s: Queries that LoadGen was to send.
        completed_per_s: Queries that were answered, by LoadGen's count.
        is_valid: LoadGen says VALID, and every answer was a 200 and right.
        reason: Why it is not, "" if it is.
        p50_ms, p99_ms: By LoadGen's clock, from when it scheduled the query.
        queries, failed, wrong: How many; failed is another status, or no answer.
    """

    rate_per_s: float
    completed_per_s: float
    is_valid: bool
    reason: str
    p50_ms: float
    p99_ms: float
    queries: int
    failed: int
    wrong: int


def attempt(
    rate_per_s: float,
    scenario: Scenario,
    *,
    address: str,
    requests: Sequence[bytes],
    questions: Questions,
    read: Read,
    folder: Path,
) -> Attempt:
    """Run the scenario once against `address`; LoadGen's own files go to `folder`."""

    def complete(query: int) -> None:
        mlperf_loadgen.QuerySamplesComplete([mlperf_loadgen.QuerySampleResponse(query, 0, 0)])

    with sending(Sender(address, requests, complete)) as sender:

        def issue(queries: list[Any]) -> None:
            sender.ask([(query.id, query.index) for query in queries])

        _start(issue, _settings(rate_per_s, scenario), len(requests), folder)
        answers = by_sample(sender.samples, sender.answers, len(requests))
        failed = sum(answer is None or answer.status != OK for answer in sender.answers)
    verdict = judge(answers, questions, read)
    told = said((folder / "mlperf_log_summary.txt").read_text(encoding="utf-8"))
    reasons = [
        *([] if told["result"] == "VALID" else [f"LoadGen: {unmet(told)}"]),
        *([f"{failed} failed"] if failed else []),
        *([f"{verdict.wrong} wrong: {verdict.example}"] if verdict.wrong else []),
    ]
    return Attempt(
        rate_per_s=rate_per_s,
        completed_per_s=float(told["completed_per_s"]),
        is_valid=not reasons,
        reason="; ".join(reasons),
        p50_ms=float(told["p50_ns"]) / 1e6,
        p99_ms=float(told["p99_ns"]) / 1e6,
        queries=len(sender.samples),
        failed=failed,
        wrong=verdict.wrong,
    )


def _settings(rate_per_s: float, scenario: Scenario) -> Any:
    settings = mlperf_loadgen.TestSettings()
    settings.scenario = mlperf_loadgen.TestScenario.Server
    settings.mode = mlperf_loadgen.TestMode.PerformanceOnly
    settings.server_target_qps = rate_per_s
    settings.server_target_latency_ns = int(scenario.latency_ms * 1e6)
    settings.server_target_latency_percentile = PERCENTILE
    settings.min_duration_ms = int(scenario.seconds * 1e3)
    settings.min_query_count = scenario.min_queries
    return settings


def _start(issue: Any, settings: Any, samples: int, folder: Path) -> None:
    """Run LoadGen; returns when every query is complete."""
    output = mlperf_loadgen.LogOutputSettings()
    output.outdir = str(folder)
    log = mlperf_loadgen.LogSettings()
    log.log_output = output
    log.enable_trace = False
    system = mlperf_loadgen.ConstructSUT(issue, _nothing)
    library = mlperf_loadgen.ConstructQSL(samples, samples, _nothing, _nothing)
    try:
        mlperf_loadgen.StartTestWithLogSettings(system, library, settings, log)
    finally:
        mlperf_loadgen.DestroyQSL(library)
        mlperf_loadgen.DestroySUT(system)


def _nothing(*_: object) -> None:
    """Samples are in memory already, and nothing is held back that could be flushed."""


def said(summary: str) -> dict[str, str]:
    """The figures of LoadGen's summary, as it wrote them.

    Raises:
        ValueError: it is not such a summary.
    """
    patterns = {
        "result": r"Result is\s*: (\w+)",
        "completed_per_s": r"Completed samples per second\s*: ([\d.]+)",
        "bound": r"Performance constraints satisfied\s*: (\w+)",
        "confidence": r"Early stopping satisfied\s*: (\w+)",
        "p50_ns": r"50\.00 percentile latency \(ns\)\s*: (\d+)",
        "p99_ns": r"99\.00 percentile latency \(ns\)\s*: (\d+)",
    }
    found = {name: re.search(pattern, summary) for name, pattern in patterns.items()}
    missing = [name for name, match in found.items() if match is None]
    if missing:
        raise ValueError(f"no {', '.join(missing)} in LoadGen's summary:\n{summary}")
    return {name: match[1] for name, match in found.items() if match is not None}


def unmet(told: Mapping[str, str]) -> str:
    """What LoadGen missed in a run that it does not call valid."""
    if told["bound"] != "Yes":
        return "p99 over the bound"
    return "too few queries to be sure" if told["confidence"] != "Yes" else told["result"]


def by_sample(
    samples: Sequence[int], answers: Sequence[Answer | None], count: int
) -> list[Answer | None]:
    """The answers, so that number `n` is one to sample `n % count`; None where there is none."""
    sorted_by: list[list[Answer | None]] = [[] for _ in range(count)]
    for sample, answer in zip(samples, answers, strict=True):
        sorted_by[sample].append(answer)
    longest = max(map(len, sorted_by), default=0)
    return [
        asked[turn] if turn < len(asked) else None for turn in range(longest) for asked in sorted_by
    ]
