"""Does a report come back as it was saved, and does rendering touch nothing but its own section?"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.results import (
    Benchmark,
    Row,
    Target,
    load,
    provenance,
    render,
    rendered,
    save,
    table,
    targets_table,
)

NUMBERS = st.floats(allow_nan=False, allow_infinity=False, width=32)


def test_a_report_is_read_as_it_was_saved(tmp_path: Path) -> None:
    rows: list[Row] = [{"server": "a", "per_s": 812.0, "p99_ms": None}, {"server": "b", "per_s": 7}]
    targets = [Target("faster", 1.5, 2.0), Target("sooner", None, 1.0, "lower")]
    saved = save(
        "try",
        command="python -m try",
        rows=rows,
        targets=targets,
        settings={"seconds": 5},
        versions={"peer": "1.2"},
        folder=tmp_path,
    )
    assert load("try", folder=tmp_path) == saved
    assert saved.versions["peer"] == "1.2"
    assert saved.machine["cores"]
    assert "peer 1.2" in provenance(saved)
    assert saved.commit in provenance(saved)


def test_a_benchmark_keeps_its_rows_and_renders_them_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the command line that brings them about again."""
    manual = tmp_path / "README.md"
    marks = "<!-- results: try -->\n<!-- end of results: try -->\n"
    benchmark = Benchmark("try", lambda report: f"`{report.command}`", tmp_path, manual)
    manual.write_text(marks)
    monkeypatch.setattr(sys, "argv", ["try", "--save", "--seconds", "5"])
    benchmark.keep([{"x": 1}])
    told = rendered("try", manual=manual)
    assert told == "`python -m loadtests.bench_try --save --seconds 5`"
    manual.write_text(marks)
    monkeypatch.setattr(sys, "argv", ["try", "--render"])
    with pytest.raises(SystemExit) as ended:
        benchmark.begin(benchmark.parser(None))
    assert ended.value.code == 0
    assert rendered("try", manual=manual) == told


@given(value=NUMBERS)
def test_measurements_keep_five_digits(
    tmp_path_factory: pytest.TempPathFactory, value: float
) -> None:
    folder = tmp_path_factory.mktemp("results")
    save("try", command="", rows=[{"x": value}], folder=folder)
    (row,) = load("try", folder=folder).rows
    assert row["x"] == pytest.approx(value, rel=1e-4)


def test_a_row_takes_one_line(tmp_path: Path) -> None:
    save("try", command="", rows=[{"x": n, "y": "z"} for n in range(9)], folder=tmp_path)
    lines = (tmp_path / "try.json").read_text().splitlines()
    assert [json.loads(line.rstrip(",")) for line in lines if '"x"' in line] == [
        {"x": n, "y": "z"} for n in range(9)
    ]


def test_what_is_not_a_number_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        save("try", command="", rows=[{"x": float("nan")}], folder=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("target", "met", "outcome"),
    [
        (Target("t", 2.0, 2.0), True, "met"),
        (Target("t", 1.5, 2.0), False, "missed by 25 %"),
        (Target("t", 2.0, 2.0, "lower"), True, "met"),
        (Target("t", 3.0, 2.0, "lower"), False, "missed by 50 %"),
        (Target("t", None, 2.0), None, "not measured"),
    ],
)
def test_a_target_says_by_how_much_it_is_missed(
    target: Target,
    met: bool | None,  # noqa: FBT001
    outcome: str,
) -> None:
    assert (target.met, target.outcome) == (met, outcome)
    assert target.verdict.endswith(outcome)


def test_rendering_replaces_its_own_section_alone(tmp_path: Path) -> None:
    manual = tmp_path / "README.md"
    manual.write_text(
        "# Top\n\n<!-- results: a -->\nold\n<!-- end of results: a -->\n\nmiddle\n\n"
        "<!-- results: b -->\n<!-- end of results: b -->\nend\n"
    )
    render("a", "| new |\n", manual=manual)
    render("b", "b's", manual=manual)
    assert rendered("a", manual=manual) == "| new |"
    assert rendered("b", manual=manual) == "b's"
    before = manual.read_text()
    render("a", "| new |", manual=manual)
    assert manual.read_text() == before
    for kept in ("# Top\n", "\nmiddle\n", "\nend\n"):
        assert kept in before
    assert "old" not in before


def test_a_manual_without_marks_is_refused(tmp_path: Path) -> None:
    manual = tmp_path / "README.md"
    manual.write_text("<!-- end of results: a -->\n<!-- results: a -->\n")
    with pytest.raises(ValueError, match="results: a"):
        render("a", "text", manual=manual)


def test_tables_are_markdown(tmp_path: Path) -> None:
    assert table(["name", ">n"], [["a", "1"]]) == "| name | n |\n| --- | --: |\n| a | 1 |"
    report = save("try", command="", rows=[], targets=[Target("fast", 1.0, 2.0)], folder=tmp_path)
    assert "| fast | ≥ 2 | 1.00 | **missed by 50 %** |" in targets_table(report)
