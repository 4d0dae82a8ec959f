"""Where do a benchmark's figures live? In `<name>.json` in this folder, and `loadtests/README.md` is made of them.

A benchmark measures, saves, and renders its section; without the measuring, the section can be made anew:

    report = save(
        "overload",                                          # overload.json in this folder
        command="python -m loadtests.overload --seconds 5",  # what brings these rows about again
        rows=[{"server": "tandem", "load": 1.5, "goodput_per_s": 812.0}, …],  # flat, one a measurement
        targets=[Target("goodput at 1.5 of capacity", got=0.97, wanted=0.95)],
        settings={"rounds": 3},
        versions={"mosec": "0.9.8"},                         # besides those of the gateway's own packages
    )
    render("overload", section(load("overload")))            # between the marks in loadtests/README.md
    for target in report.targets:
        print(target.verdict)

`section` is the benchmark's own: markdown out of a `Report`, pure, with `provenance`, `table` and
`targets_table` from here. A test holds the manual to it: `assert rendered("overload") == section(load("overload"))`.
The marks are `<!-- results: overload -->` and `<!-- end of results: overload -->`, each on a line of its own; the
benchmark's author writes them once, where the section belongs.

`Benchmark` is the command line around all that.

Rules:
- Rows hold every round, not medians: what is derived is derived by `section`, again each time.
- What was not measured is None, never 0: a missed target and an unmeasured one differ.
- A short try is printed, not saved.
"""

from loadtests.results.command import Benchmark
from loadtests.results.manual import MANUAL, provenance, render, rendered, table, targets_table
from loadtests.results.record import FOLDER, Report, Row, Target, load, save

__all__ = [
    "FOLDER",
    "MANUAL",
    "Benchmark",
    "Report",
    "Row",
    "Target",
    "load",
    "provenance",
    "render",
    "rendered",
    "save",
    "table",
    "targets_table",
]
