"""How does it read where the CPU went? Markdown, out of the rows alone, with the run before this one beside it."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from loadtests.bench_stages.rounds import ALL
from loadtests.bench_stages.stages import STAGES
from loadtests.results import Report, Row, provenance, table

__all__ = ["as_before", "section"]

NOW, BEFORE = "now", "before"


def as_before(report: Report) -> list[Row]:
    """The rows of a run that was saved, for the run after it to keep."""
    return [{**row, "run": BEFORE} for row in report.rows if row["run"] == NOW]


def section(report: Report) -> str:
    """A line for each stage, the two runs side by side; then what the profiler cost."""
    wires = list(dict.fromkeys(str(row["wire"]) for row in report.rows if row["run"] == NOW))
    return "\n\n".join(
        [provenance(report), _stages(report.rows, wires), _profiler(report.rows, wires)]
    )


def _stages(rows: Sequence[Row], wires: Iterable[str]) -> str:
    columns, lines = ["CPU µs a request"], [[stage] for stage in (*STAGES, f"**{ALL}**")]
    for wire in wires:
        columns += [f">{wire}", ">each round", ">before"]
        for line, stage in zip(lines, (*STAGES, ALL), strict=True):
            now, before = (_values(rows, (run, wire, stage), "us") for run in (NOW, BEFORE))
            line += [_median(now, 1), " · ".join(f"{us:.1f}" for us in now), _median(before, 1)]
    return table(columns, lines)


def _profiler(rows: Sequence[Row], wires: Iterable[str]) -> str:
    lines = []
    for wire in wires:
        figures = {"per_s": 0, "profiled_per_s": 0, "us": 1, "profiled_us": 1}
        values = {name: _values(rows, (NOW, wire, ALL), name) for name in (*figures, "stacks")}
        cells = [_median(values[name], digits) for name, digits in figures.items()]
        lines.append([wire, *cells, f"{sum(values['stacks']):,.0f}"])
    columns = ["", ">requests/s", ">with the profiler", ">CPU µs", ">with the profiler", ">stacks"]
    return table(columns, lines)


def _values(rows: Iterable[Row], of: tuple[str, str, str], figure: str) -> list[float]:
    found = [row[figure] for row in rows if (row["run"], row["wire"], row["stage"]) == of]
    return [float(value) for value in found if isinstance(value, int | float)]


def _median(values: Sequence[float], digits: int) -> str:
    return f"{statistics.median(values):,.{digits}f}" if values else "–"
