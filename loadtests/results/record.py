"""What does a benchmark leave behind? A report: rows, and all that one must know to take them again."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeAlias

from loadtests.results import machine

__all__ = ["FOLDER", "Report", "Row", "Target", "Value", "load", "save"]

FOLDER = Path(__file__).resolve().parent

Value: TypeAlias = str | int | float | bool | None
Row: TypeAlias = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Target:
    """A figure to be reached, and what was.

    Attributes:
        what: One line for a reader, without the figures.
        got: None where it was not measured.
        wanted: The bound, in the same unit.
        better: Whether `got` must be at least (`higher`) or at most (`lower`) as large as `wanted`.
    """

    what: str
    got: float | None
    wanted: float
    better: Literal["higher", "lower"] = "higher"

    @property
    def met(self) -> bool | None:
        """Whether it is reached; None where it was not measured."""
        if self.got is None:
            return None
        return self.got >= self.wanted if self.better == "higher" else self.got <= self.wanted

    @property
    def outcome(self) -> str:
        """`met`, `missed by 12 %` of what was wanted, or `not measured`."""
        if self.got is None:
            return "not measured"
        if self.met:
            return "met"
        return f"missed by {abs(self.got - self.wanted) / self.wanted:.0%}".replace("%", " %")

    @property
    def verdict(self) -> str:
        """All of it on one line."""
        sign = "≥" if self.better == "higher" else "≤"
        got = "" if self.got is None else f"{self.got:.2f}, "
        return f"{self.what}: {got}wanted {sign} {self.wanted:g}: {self.outcome}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One run of one benchmark.

    Attributes:
        taken: When it was saved, UTC, ISO 8601.
        commit: What was checked out; `+changes` where that was not all.
        command: What to type to take it again.
        machine: Processor, cores, memory, system, interpreter.
        versions: Of everything that was measured, by name.
        settings: How it was measured, where the command does not say it.
        rows: One for each measurement, flat.
    """

    name: str
    taken: str
    commit: str
    command: str
    machine: Mapping[str, Value]
    versions: Mapping[str, str]
    settings: Mapping[str, Value] = field(default_factory=dict)
    targets: Sequence[Target] = ()
    rows: Sequence[Row] = ()


def save(
    name: str,
    *,
    command: str,
    rows: Iterable[Row],
    targets: Iterable[Target] = (),
    settings: Mapping[str, Value] | None = None,
    versions: Mapping[str, str] | None = None,
    folder: Path = FOLDER,
) -> Report:
    """Write `folder/name.json`, in place of that of an earlier run; what is returned is as `load` reads it.

    Raises:
        ValueError: a row or target holds a NaN or an infinity.
    """
    report = Report(
        name=name,
        taken=datetime.now(UTC).isoformat(timespec="seconds"),
        commit=machine.commit(),
        command=command,
        machine=machine.machine(),
        versions={**machine.versions(), **(versions or {})},
        settings=settings or {},
        targets=tuple(targets),
        rows=tuple(rows),
    )
    text = _text(report)
    (folder / f"{name}.json").write_text(text, encoding="utf-8")
    return load(name, folder=folder)


def load(name: str, *, folder: Path = FOLDER) -> Report:
    """Read what `save` wrote.

    Raises:
        OSError: nothing was saved under this name.
    """
    told = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    targets = tuple(Target(**target) for target in told.pop("targets"))
    return Report(targets=targets, rows=tuple(told.pop("rows")), **told)


def _text(report: Report) -> str:
    """JSON with one row a line, so that a diff shows which measurements moved."""
    told = asdict(report)
    lists = {key: told.pop(key) for key in ("targets", "rows")}
    head = json.dumps(told, indent=1, ensure_ascii=False, allow_nan=False).removesuffix("\n}")
    parts = [f'"{key}": [\n{_lines(values)}\n ]' for key, values in lists.items()]
    return ",\n ".join([head, *parts]) + "\n}\n"


def _lines(values: Sequence[Mapping[str, Value]]) -> str:
    rounded = ({key: _rounded(value) for key, value in entry.items()} for entry in values)
    return ",\n".join(
        f"  {json.dumps(entry, ensure_ascii=False, allow_nan=False)}" for entry in rounded
    )


def _rounded(value: Value) -> Value:
    """Five digits: no measurement here is better than that."""
    if not isinstance(value, float) or value == 0 or not math.isfinite(value):
        return value
    return round(value, 4 - math.floor(math.log10(abs(value))))
