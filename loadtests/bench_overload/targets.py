"""What should have come of a run? Pure."""

from __future__ import annotations

from collections.abc import Sequence

from loadtests.results import Row, Target

__all__ = ["targets"]

KEPT = 0.9
"""Of the goodput at capacity, at 1.5 and 3 times of it."""

RECOVERED_S = 1.0
OURS = "tandem"


def targets(rows: Sequence[Row], deadline_s: float) -> list[Target]:
    """Those of Tandem with the deadline told, from the rows of a run."""
    mine = [row for row in rows if row["server"] == OURS]
    ours = {_number(row, "load"): row for row in mine if row["phase"] == "steady"}
    found = [
        Target(
            f"goodput at {load:g} × capacity ÷ capacity",
            got=_ratio(ours.get(load)),
            wanted=KEPT,
        )
        for load in (1.5, 3.0)
    ]
    over = ours.get(3.0)
    p99_ms = None if over is None else over["p99_ms"]
    assert p99_ms is None or isinstance(p99_ms, float)
    found.append(
        Target(
            "p99 of the accepted at 3 × capacity ÷ deadline",
            got=None if p99_ms is None else p99_ms / 1e3 / deadline_s,
            wanted=1.0,
            better="lower",
        )
    )
    recovered = [row["recovery_s"] for row in mine if row["recovery_s"] is not None]
    got = recovered[0] if recovered else None
    assert got is None or isinstance(got, int | float)
    found.append(
        Target("seconds to recover after 3 × capacity", got=got, wanted=RECOVERED_S, better="lower")
    )
    return found


def _ratio(row: Row | None) -> float | None:
    return None if row is None else _number(row, "good_per_s") / _number(row, "capacity_per_s")


def _number(row: Row, name: str) -> float:
    value = row[name]
    assert isinstance(value, int | float), name
    return float(value)
