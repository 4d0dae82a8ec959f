"""How does a report of predictions read, and what should they reach? Pure, out of the rows alone."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from loadtests.bench_plan.asked import BACKENDS
from loadtests.results import Report, Row, Target, provenance, table, targets_table

__all__ = ["P50_RATIO", "P99_RATIO", "line", "section", "targets"]

P50_RATIO, P99_RATIO = 0.20, 0.35
"""How far from what is measured a prediction may be."""

_COLUMNS = (
    "backend",
    ">load",
    ">requests/s",
    ">p50 ms, predicted",
    ">measured",
    ">off by",
    ">p99 ms, predicted",
    ">measured",
    ">off by",
    ">rows a batch, predicted",
)


def section(report: Report) -> str:
    """A table of every round, what it was taken with, and what it should have reached."""
    rows = [line(row) for row in report.rows]
    return "\n\n".join([provenance(report), table(_COLUMNS, rows), targets_table(report)])


def line(row: Row) -> list[str]:
    """One load as the cells of a table."""
    return [
        BACKENDS[str(row["backend"])].title,
        f"{_number(row, 'load'):.0%}{'' if row['valid'] else ' (generator late)'}".replace(
            "%", " %"
        ),
        f"{_number(row, 'offered_per_s'):,.0f}",
        *(
            cell
            for name in ("p50", "p99")
            for cell in (
                f"{_number(row, f'{name}_predicted_ms'):.1f}",
                f"{_number(row, f'{name}_ms'):.1f}",
                f"{off_by(row, name):+.0%}".replace("%", " %").replace("-", "−"),
            )
        ),
        f"{_number(row, 'rows_per_batch_predicted'):.1f}",
    ]


def off_by(row: Row, name: str) -> float:
    """The prediction over what was measured, less 1; above 0 it promised too little speed."""
    return _number(row, f"{name}_predicted_ms") / _number(row, f"{name}_ms") - 1


def targets(rows: Sequence[Row]) -> list[Target]:
    """Per backend and percentile: the worst load, by the median of its rounds."""
    found = []
    for backend in dict.fromkeys(str(row["backend"]) for row in rows):
        for name, wanted in (("p50", P50_RATIO), ("p99", P99_RATIO)):
            by_load: dict[float, list[float]] = {}
            for row in rows:
                if row["backend"] == backend and row["valid"]:
                    by_load.setdefault(_number(row, "load"), []).append(off_by(row, name))
            worst = max((abs(statistics.median(one)) for one in by_load.values()), default=None)
            title = f"{BACKENDS[backend].title}: {name} off by, worst load, median of rounds"
            found.append(Target(title, got=worst, wanted=wanted, better="lower"))
    return found


def _number(row: Row, name: str) -> float:
    value = row[name]
    assert isinstance(value, int | float), name
    return float(value)
