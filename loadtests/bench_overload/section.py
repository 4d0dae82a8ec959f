"""How does a report of overload read? Markdown, out of its rows alone."""

from __future__ import annotations

from loadtests.bench_overload.arms import ARMS
from loadtests.results import Report, Row, provenance, table, targets_table

__all__ = ["line", "section"]

_COLUMNS = (
    "server",
    ">load",
    ">offered/s",
    ">goodput/s",
    ">÷ capacity",
    ">late/s",
    ">shed/s",
    ">given up/s",
    ">failed/s",
    ">p99 ms",
    ">shed p99 ms",
)


def section(report: Report) -> str:
    """Two tables and what they were taken with."""
    steady = [line(row) for row in report.rows if row["phase"] == "steady"]
    surges = [
        [_title(row), _plain(row["load"]), _recovery(row)]
        for row in report.rows
        if row["phase"] != "steady"
    ]
    return "\n\n".join(
        [
            provenance(report),
            table(_COLUMNS, steady),
            table(["server", ">surge", ">recovered after s"], surges),
            targets_table(report),
        ]
    )


def line(row: Row) -> list[str]:
    """One load as the cells of a table."""
    good, capacity = row["good_per_s"], row["capacity_per_s"]
    assert isinstance(good, int | float)
    assert isinstance(capacity, int | float)
    names = ("late_per_s", "refused_per_s", "gave_up_per_s", "failed_per_s")
    return [
        _title(row),
        f"{_plain(row['load'])}×{'' if row['valid'] else ' (generator late)'}",
        _number(row["offered_per_s"]),
        _number(good),
        f"{good / capacity:.2f}",
        *(_number(row[name]) for name in names),
        _number(row["p99_ms"]),
        _number(row["refused_p99_ms"]),
    ]


def _title(row: Row) -> str:
    return ARMS[str(row["server"])].title


def _recovery(row: Row) -> str:
    return "not while it was watched" if row["recovery_s"] is None else _plain(row["recovery_s"])


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, int | float) else "–"


def _number(value: object) -> str:
    return f"{value:,.0f}" if isinstance(value, int | float) else "–"
