"""How does a report of LoadGen's runs read? Markdown, out of its rows alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from loadtests.results import Report, Row, provenance, table

__all__ = ["section"]

_COLUMNS = (
    "model",
    "arm",
    ">bound on p99, ms",
    ">highest VALID rate/s",
    ">p50 ms",
    ">p99 ms",
    ">next rate that was not",
)


def section(report: Report) -> str:
    """A table of the highest valid rates, and what it was taken with."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in report.rows:
        groups.setdefault((str(row["model"]), str(row["arm"])), []).append(row)
    lines = [_line(model, arm, rows) for (model, arm), rows in groups.items()]
    return "\n\n".join([provenance(report), table(_COLUMNS, lines)])


def _line(model: str, arm: str, rows: Sequence[Row]) -> list[str]:
    bound = f"{rows[0]['latency_ms']:g}"
    valid = [row for row in rows if row["is_valid"]]
    if not valid:
        return [model, arm, bound, "none", "–", "–", _lowest(rows)]
    best = max(valid, key=_rate)
    above = [row for row in rows if not row["is_valid"] and _rate(row) > _rate(best)]
    return [
        model,
        arm,
        bound,
        f"{_rate(best):,.0f}",
        f"{best['p50_ms']:.1f}",
        f"{best['p99_ms']:.1f}",
        _lowest(above),
    ]


def _lowest(rows: Iterable[Row]) -> str:
    lowest = min(rows, key=_rate, default=None)
    return "–" if lowest is None else f"{_rate(lowest):,.0f} ({lowest['reason']})"


def _rate(row: Mapping[str, object]) -> float:
    rate = row["rate_per_s"]
    assert isinstance(rate, int | float)
    return rate
