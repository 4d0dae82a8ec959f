"""How do the rows read? The section of `loadtests/README.md`, pure, from the report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from loadtests.peers.figures import EARLY, US, Figures
from loadtests.peers.plot import picture_name
from loadtests.results import Report, Row, provenance, table, targets_table

__all__ = ["section"]

_MODELS = {
    "iris": "a perceptron of microseconds; one row a request, 30 rows in turn",
    "minilm": "a sentence transformer; one sentence a request, 8 to 128 tokens, mixed",
}


def section(report: Report) -> str:
    """Targets, closed loops, open loops and settings."""
    parts = [
        provenance(report),
        _early(report),
        _correctness(report.rows),
        targets_table(report),
        _headroom(report.rows),
    ]
    for model, what in _MODELS.items():
        figures = Figures.of(model, report.rows)
        if figures.servers():
            parts += [
                f"**{model}**, {what}.",
                _offline(figures),
                _chart(figures),
                _closed(figures),
                _picture(figures),
                _open(figures),
            ]
    parts += ["How each was set:", _settings(report.rows), *_failures(report.rows)]
    return "\n\n".join(part for part in parts if part)


def _correctness(rows: Sequence[Row]) -> str:
    checked, wrong = (_total(rows, name) for name in ("checked", "wrong"))
    return f"Answers compared with the store's: {checked:,}; wrong: {wrong:,}."


def _early(report: Report) -> str:
    why = report.settings.get(EARLY)
    return f"**The run ended early, {why}: what is missing below was not reached.**" if why else ""


def _headroom(rows: Sequence[Row]) -> str:
    """Which part of its thread the generator needed where it needed most; near 1 it was the bottleneck."""
    told = []
    for loop in ("closed", "open"):
        found = [row for row in rows if row["loop"] == loop]
        if found:
            most = max(found, key=lambda row: float(row["generator_busy"] or 0))
            at = f"{most['connections']} callers" if loop == "closed" else f"{most['rate']}"
            busy = _shown(most["generator_busy"], "{:.2f}")
            told.append(f"{loop} loop {busy} ({most['server']}, {most['model']}, {at})")
    return f"The generator's thread was busy at most: {'; '.join(told)}." if told else ""


def _total(rows: Iterable[Row], name: str) -> int:
    return sum(int(row.get(name) or 0) for row in rows)


def _offline(figures: Figures) -> str:
    rate = figures.offline()
    if rate is None:
        return ""
    return f"Without a server, full batches sorted by length on one thread: {rate:,.0f} rows/s."


def _chart(figures: Figures) -> str:
    """Bars, as GitHub draws them."""
    number = figures.connections()[-1]
    bars = {figures.title(server): figures.capacity(server) for server in _ordered(figures)}
    return "\n".join(
        [
            "```mermaid",
            "xychart-beta horizontal",
            f'  title "{figures.model}: most rows/s from 1 to {number} callers, better variant"',
            f"  x-axis [{', '.join(f'{chr(34)}{name}{chr(34)}' for name in bars)}]",
            f"  bar [{', '.join(f'{value:.0f}' for value in bars.values())}]",
            "```",
        ]
    )


def _closed(figures: Figures) -> str:
    numbers = figures.connections()
    titles = [f">{n} caller{'s' * (n > 1)}: rows/s · p50 · p99 ms" for n in numbers]
    rows = [
        [
            _title(figures, server),
            variant,
            *(_loop(figures, server, variant, n) for n in numbers),
            _shown(figures.closed(server, variant, numbers[-1], "cpu_us"), "{:,.0f}"),
        ]
        for server in _ordered(figures)
        for variant in figures.variants(server)
    ]
    return table(["server", "set as", *titles, f">CPU µs a row, {numbers[-1]} callers"], rows)


def _ordered(figures: Figures) -> list[str]:
    return sorted(figures.servers(), key=figures.capacity, reverse=True)


def _loop(figures: Figures, server: str, variant: str, connections: int) -> str:
    def found(measure: str) -> float | None:
        return figures.closed(server, variant, connections, measure)

    cells = [_shown(found("per_s"), "{:,.0f}")]
    cells += [_shown(found(name), "{:,.3g}") for name in ("p50_ms", "p99_ms")]
    errors = found("errors")
    return " · ".join(cells) + (f" ({errors:,.0f} errors)" if errors else "")


def _picture(figures: Figures) -> str:
    if not figures.servers("open"):
        return ""
    return f"![Latencies of {figures.model} against the offered rate](results/{picture_name(figures.model)})"


def _open(figures: Figures) -> str:
    rows = [
        [
            _title(figures, server),
            str(row["variant"]),
            str(row["rate"]),
            _shown(row["wanted_per_s"], "{:,.0f}"),
            _shown(row["answered_per_s"], "{:,.0f}"),
            *(_shown(row[name], "{:,.3g}") for name in ("p50_ms", "p90_ms", "p99_ms")),
            f"{_total([row], 'requests'):,}",
            f"{_total([row], 'errors') + _total([row], 'unanswered'):,}",
            _shown(row["late_p99_ms"], "{:.2g}") + ("" if row["valid"] else " **invalid**"),
        ]
        for server in _ordered(figures)
        for row in figures.rows
        if (row["loop"], row["server"]) == ("open", server)
    ]
    columns = ["open loop", "set as", "at", ">offered/s", ">answered/s"]
    columns += [">p50 ms", ">p90 ms", ">p99 ms", ">requests", ">errors, unanswered"]
    columns += [">generator late, p99 ms"]
    return table(columns, rows) if rows else ""


def _settings(rows: Sequence[Row]) -> str:
    found = [row for row in rows if row["loop"] == "settings"]
    lines = [
        [str(row[name]) for name in ("title", "model", "variant", "settings")] for row in found
    ]
    return table(["server", "model", "set as", "settings"], lines)


def _failures(rows: Sequence[Row]) -> list[str]:
    """Who could not be measured, or not to the end."""
    found = [
        f"**Failed**: {row['server']}, {row['model']}, {row['variant']}: {row['why']}"
        for row in rows
        if row["loop"] == "failed"
    ]
    failed, measured, asked = (
        {(row["server"], row["model"], row["variant"]) for row in rows if row["loop"] == loop}
        for loop in ("failed", "closed", "settings")
    )
    left_out = sorted(", ".join(map(str, name)) for name in asked - measured - failed)
    return [*found, *(f"Not reached: {name}." for name in left_out)]


def _title(figures: Figures, server: str) -> str:
    found = figures.title(server)
    return f"**{found}**" if server.startswith(US) else found


def _shown(value: object, form: str) -> str:
    return form.format(value) if isinstance(value, int | float) else "–"
