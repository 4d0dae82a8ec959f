"""Reports of benchmarks that were never run, for what makes sections of them."""

from __future__ import annotations

from collections.abc import Iterable

from loadtests.results import Report, Row, Target

__all__ = ["report"]


def report(rows: Iterable[Row], targets: Iterable[Target] = ()) -> Report:
    """A report of these rows, taken nowhere in particular."""
    return Report(
        name="try",
        taken="2026-01-01T00:00:00+00:00",
        commit="abc",
        command="c",
        machine={"cores": 2, "processor": "p", "memory_gib": 1, "system": "s", "python": "p"},
        versions={},
        rows=tuple(rows),
        targets=tuple(targets),
    )
