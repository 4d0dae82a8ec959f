"""How does the command line of a benchmark begin, and how does what it measured become its report?

For `python -m loadtests.bench_<name>`, whose report is `<name>.json`:

    BENCHMARK = Benchmark("plan", section)
    arguments = BENCHMARK.begin(parser)     # --save and --render are added
    …
    if arguments.save:
        BENCHMARK.keep(rows, targets=reached, settings=settings)
"""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from loadtests.results.manual import MANUAL, render
from loadtests.results.record import FOLDER, Report, Row, Target, Value, load, save

__all__ = ["Benchmark"]


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One of our benchmarks.

    Attributes:
        name: That of its report and of its marks in the manual.
        section: What it makes of its report, markdown.
        folder: Where the reports are.
        manual: Where the section is.
    """

    name: str
    section: Callable[[Report], str]
    folder: Path = FOLDER
    manual: Path = MANUAL

    @property
    def module(self) -> str:
        """What `python -m` is told."""
        return f"loadtests.bench_{self.name}"

    def parser(self, about: str | None) -> argparse.ArgumentParser:
        """What reads its command line; its own options are still to be added."""
        parser = argparse.ArgumentParser(prog=f"python -m {self.module}", description=about)
        parser.add_argument("--save", action="store_true", help="write results/ and the manual")
        parser.add_argument("--render", action="store_true", help="only the manual, from results/")
        return parser

    def begin(self, parser: argparse.ArgumentParser) -> argparse.Namespace:
        """Read the command line; from now on SIGTERM ends the process by way of every `finally`.

        Raises:
            SystemExit: only the manual was to be written, and is; or the command line is wrong.
        """
        arguments = parser.parse_args()
        if arguments.render:
            self._render(load(self.name, folder=self.folder))
            sys.exit(0)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        return arguments

    def keep(
        self,
        rows: Iterable[Row],
        *,
        targets: Iterable[Target] = (),
        settings: Mapping[str, Value] | None = None,
        versions: Mapping[str, str] | None = None,
    ) -> None:
        """Save what was measured by this command line, and render its section; see `save`."""
        report = save(
            self.name,
            command=shlex.join(["python", "-m", self.module, *sys.argv[1:]]),
            rows=rows,
            targets=targets,
            settings=settings,
            versions=versions,
            folder=self.folder,
        )
        self._render(report)

    def _render(self, report: Report) -> None:
        render(self.name, self.section(report), manual=self.manual)
