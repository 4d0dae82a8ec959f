"""How does a run that ends early keep what it has? Its rows are saved after every server, and the first signal ends it."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from loadtests.peers.figures import EARLY
from loadtests.peers.plot import draw
from loadtests.peers.section import section
from loadtests.peers.targets import targets
from loadtests.results import FOLDER, MANUAL, Report, Row, load, render, save

__all__ = ["NAME", "PARTIAL", "Keeper", "collected", "recovered", "rendered_anew"]

NAME = "peers"
PARTIAL = "peers-partial"  # git ignores it
ENDING = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeper:
    """Writes reports of one run.

    Attributes:
        command: What to type to take them again.
        versions: Of the servers, read before the run, so that nothing is left to fail after it.
    """

    command: str
    versions: Mapping[str, str]
    settings: Mapping[str, str]
    folder: Path = FOLDER
    manual: Path = MANUAL

    def so_far(self, rows: Sequence[Row]) -> None:
        """Keep them in a file of their own: an earlier report stays until this run has ended."""
        self._save(PARTIAL, rows, early="it was killed")

    def done(self, rows: Sequence[Row], *, early: str = "") -> None:
        """Make them the report, and the manual's section and its pictures of that."""
        self._save(NAME, rows, early=early)
        (self.folder / f"{PARTIAL}.json").unlink(missing_ok=True)
        rendered_anew(folder=self.folder, manual=self.manual)

    def _save(self, name: str, rows: Sequence[Row], *, early: str) -> None:
        save(
            name,
            command=self.command,
            rows=rows,
            targets=targets(rows),
            versions=self.versions,
            settings={**self.settings, **({EARLY: early} if early else {})},
            folder=self.folder,
        )


def rendered_anew(*, folder: Path = FOLDER, manual: Path = MANUAL) -> Report:
    """Write the section and its pictures from what was kept.

    Raises:
        OSError: nothing was.
    """
    report = load(NAME, folder=folder)
    draw(report, folder)
    render(NAME, section(report), manual=manual)
    return report


def recovered(*, folder: Path = FOLDER, manual: Path = MANUAL) -> None:
    """Make the report of what a run that was killed has left.

    Raises:
        OSError: there is nothing of the kind.
    """
    text = (folder / f"{PARTIAL}.json").read_text(encoding="utf-8")
    named = text.replace(f'"name": "{PARTIAL}"', f'"name": "{NAME}"', 1)
    (folder / f"{NAME}.json").write_text(named, encoding="utf-8")
    (folder / f"{PARTIAL}.json").unlink()
    rendered_anew(folder=folder, manual=manual)


def collected(
    found: Iterable[Sequence[Row]],
    keep: Callable[[Sequence[Row]], object],
    *,
    limit_s: float,
) -> tuple[list[Row], str]:
    """All rows, and why they are not all that were asked for; "" if they are.

    Args:
        found: Rows, server by server; to ask for the next is to start one.
        keep: Called with all rows so far after each.
        limit_s: After which no other server is started.
    """
    rows: list[Row] = []
    until = time.monotonic() + limit_s
    with _ended_once():
        try:
            for more in found:
                rows += more
                keep(rows)
                if time.monotonic() > until:
                    return rows, f"after {limit_s / 60:g} minutes"
        except KeyboardInterrupt:
            print("ended by a signal; what was measured is kept", file=sys.stderr)
            return rows, "by a signal"
    return rows, ""


@contextmanager
def _ended_once() -> Iterator[None]:
    """The first signal to end raises KeyboardInterrupt; while servers are stopped after it, others change nothing."""

    def end(number: int, frame: object) -> None:
        del number, frame
        for name in ENDING:
            signal.signal(name, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {name: signal.signal(name, end) for name in ENDING}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
