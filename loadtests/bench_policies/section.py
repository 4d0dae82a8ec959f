"""How does a comparison of policies read? Markdown, out of its rows alone; and what it should show."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from loadtests.bench_policies.policies import OURS, TITLES
from loadtests.results import Report, Row, Target, provenance, table, targets_table

__all__ = ["section", "targets"]

NEAR = 1.1
"""Of the best policy's percentile, at every load: what Tandem's may be."""


def section(report: Report) -> str:
    """A line for each policy, a column for each load; medians of the rounds."""
    loads = _loads(report.rows)
    columns = ["policy, p50 / p99 ms", *(f">{load:g} of capacity" for load in loads)]
    lines = [
        [title, *(_cell(report.rows, name, load) for load in loads)]
        for name, title in TITLES.items()
        if any(row["policy"] == name for row in report.rows)
    ]
    return "\n\n".join([provenance(report), table(columns, lines), targets_table(report)])


def targets(rows: Sequence[Row]) -> list[Target]:
    """At every load: Tandem's percentiles over those of the best other policy."""
    return [
        Target(
            f"{figure} at {load:g} of capacity ÷ the best other's",
            got=_ratio(rows, load, f"{figure}_ms"),
            wanted=NEAR,
            better="lower",
        )
        for load in _loads(rows)
        for figure in ("p50", "p99")
    ]


def _ratio(rows: Sequence[Row], load: float, figure: str) -> float | None:
    ours = _median(rows, OURS, load, figure)
    others = [_median(rows, name, load, figure) for name in TITLES if name != OURS]
    measured = [value for value in others if value is not None]
    return None if ours is None or not measured else ours / min(measured)


def _cell(rows: Iterable[Row], policy: str, load: float) -> str:
    found = [_median(rows, policy, load, figure) for figure in ("p50_ms", "p99_ms")]
    return " / ".join("–" if value is None else f"{value:,.1f}" for value in found)


def _median(rows: Iterable[Row], policy: str, load: float, figure: str) -> float | None:
    values = [row[figure] for row in rows if row["policy"] == policy and row["load"] == load]
    numbers = [value for value in values if isinstance(value, int | float)]
    return statistics.median(numbers) if numbers else None


def _loads(rows: Iterable[Row]) -> list[float]:
    return sorted({float(row["load"]) for row in rows if isinstance(row["load"], int | float)})
