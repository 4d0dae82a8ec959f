"""How do latencies grow with the load? One picture a model, from the rows of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from loadtests.peers.figures import US, Figures
from loadtests.results import Report, Row

__all__ = ["draw", "picture", "picture_name"]

PERCENTILES = ("p50_ms", "p99_ms")
OURS = "#d62728"
THEIRS = ("#1f77b4", "#2ca02c", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#17becf", "#bcbd22")
MARKERS = "osD^vP*X"


def draw(report: Report, folder: Path) -> list[Path]:
    """An SVG for each model with open loops."""
    found = []
    for model in dict.fromkeys(str(row["model"]) for row in report.rows):
        figures = Figures.of(model, report.rows)
        if figures.servers("open"):
            found.append(folder / picture_name(model))
            # Text stays text, and the same rows make the same file.
            with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "tandem"}):
                picture(figures).savefig(found[-1], format="svg", metadata={"Date": None})
            _strip(found[-1])
    return found


def _strip(file: Path) -> None:
    """Take the blanks from the ends of its lines, which matplotlib leaves there."""
    lines = [line.rstrip() for line in file.read_text().splitlines()]
    file.write_text("\n".join(lines) + "\n")


def picture_name(model: str) -> str:
    """Its file, beside the report's."""
    return f"peers-{model}.svg"


def picture(figures: Figures) -> Figure:
    """Median and 99th percentile against the offered rate; a line a server, both axes logarithmic.

    Hollow marks are loads in which the generator was late. A percentile that is no number, because too many
    requests had no answer, stands at the upper edge.
    """
    drawn = Figure(figsize=(10, 4.4), layout="constrained")
    panels = drawn.subplots(1, len(PERCENTILES), sharex=True, sharey=True)
    for panel, measure in zip(panels, PERCENTILES, strict=True):
        panel.set(xscale="log", yscale="log", xlabel="offered rows/s", ylabel="ms")
        panel.set_title(f"{figures.model}: {measure.removesuffix('_ms')}, from the intended send")
        panel.grid(visible=True, alpha=0.3)
        panel.yaxis.set_tick_params(labelleft=True)
        for server, style in _styles(figures).items():
            _line(panel, _open(figures, server), measure, style)
    drawn.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper", frameon=False)
    return drawn


def _styles(figures: Figures) -> Mapping[str, Mapping[str, Any]]:
    """The fastest first; ours stands out."""
    servers = sorted(figures.servers("open"), key=figures.capacity, reverse=True)
    return {
        server: {
            "label": figures.title(server),
            "color": OURS if server == US else THEIRS[number % len(THEIRS)],
            "linewidth": 2.4 if server == US else 1.2,
            "zorder": 3 if server == US else 2,
            "marker": MARKERS[number % len(MARKERS)],
            "markersize": 5,
        }
        for number, server in enumerate(servers)
    }


def _line(panel: Any, rows: Sequence[Row], measure: str, style: Mapping[str, Any]) -> None:
    mark = {**style, "linestyle": "", "label": None}
    known = [row for row in rows if row[measure] is not None]
    panel.plot(*_points(known, measure), **style)
    panel.plot(*_points([row for row in known if not row["valid"]], measure), mfc="white", **mark)
    beyond = [row["wanted_per_s"] for row in rows if row[measure] is None]
    edge = panel.get_xaxis_transform()  # 1 is the top, whatever the axis shows
    for line in panel.plot(beyond, [1.0] * len(beyond), clip_on=False, transform=edge, **mark):
        line.set_in_layout(False)


def _open(figures: Figures, server: str) -> list[Row]:
    found = [row for row in figures.rows if (row["loop"], row["server"]) == ("open", server)]
    return sorted(found, key=lambda row: float(row["wanted_per_s"] or 0))


def _points(rows: Sequence[Row], measure: str) -> tuple[list[object], list[object]]:
    return [row["wanted_per_s"] for row in rows], [row[measure] for row in rows]
