"""How does a report become a section of `loadtests/README.md`?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from loadtests.results.record import FOLDER, Report

__all__ = ["MANUAL", "provenance", "render", "rendered", "table", "targets_table"]

MANUAL = FOLDER.parent / "README.md"


def render(name: str, section: str, *, manual: Path = MANUAL) -> None:
    """Put `section`, markdown, between the marks of this name; nothing else of the manual changes.

    Raises:
        ValueError: the manual has no such marks.
    """
    text = manual.read_text(encoding="utf-8")
    start, end = _between(name, text)
    manual.write_text(f"{text[:start]}\n{section.strip()}\n\n{text[end:]}", encoding="utf-8")


def rendered(name: str, *, manual: Path = MANUAL) -> str:
    """What stands between the marks of this name now, without blank lines around it.

    Raises:
        ValueError: the manual has no such marks.
    """
    text = manual.read_text(encoding="utf-8")
    start, end = _between(name, text)
    return text[start:end].strip()


def _between(name: str, text: str) -> tuple[int, int]:
    first, last = f"<!-- results: {name} -->\n", f"<!-- end of results: {name} -->\n"
    start, end = text.find(first), text.find(last)
    if not 0 <= start < end:
        raise ValueError(f"the manual has no {first.strip()} with {last.strip()} after it")
    return start + len(first), end


def provenance(report: Report) -> str:
    """A sentence: when, from which commit, how and on what the report was taken."""
    on = report.machine
    versions = ", ".join(f"{name} {version}" for name, version in sorted(report.versions.items()))
    settings = "".join(f"; {name}: {value}" for name, value in report.settings.items())
    return (
        f"Taken {report.taken[:16].replace('T', ' ')} UTC at commit `{report.commit}` with `{report.command}`"
        f" on {on['cores']} cores of {on['processor']}, {on['memory_gib']} GiB, {on['system']},"
        f" {on['python']}{settings}. Versions: {versions}."
    )


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A markdown table; columns whose name starts with `>` are aligned to the right."""
    names = [column.removeprefix(">") for column in columns]
    rules = ["--:" if column.startswith(">") else "---" for column in columns]
    lines = [names, rules, *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def targets_table(report: Report) -> str:
    """Every target with what was wanted, what was reached, and by how much it was missed."""
    rows = [
        [
            target.what,
            f"{'≥' if target.better == 'higher' else '≤'} {target.wanted:g}",
            "–" if target.got is None else f"{target.got:.2f}",
            target.outcome if target.met else f"**{target.outcome}**",
        ]
        for target in report.targets
    ]
    return table(["target", ">wanted", ">reached", ""], rows)
