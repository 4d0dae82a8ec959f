"""Does a run that fails or ends early keep what it has, leave nothing behind, and say so?"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gateway.control.source import load as read_config
from loadtests.answers import Tolerance
from loadtests.bench.wrk import Load
from loadtests.peers.catalogue import PEERS
from loadtests.peers.closed import Closed
from loadtests.peers.figures import Figures
from loadtests.peers.keeping import PARTIAL, Keeper, collected, recovered
from loadtests.peers.peer import Command, Peer
from loadtests.peers.plot import picture
from loadtests.peers.questions import Questions
from loadtests.peers.rounds import measured
from loadtests.peers.session import Scope, Subject
from loadtests.peers.tandem.peer import SHIPPED
from loadtests.results import Row, load, rendered

ROOT = Path(__file__).resolve().parent.parent.parent
ONE = Questions(
    rows=[{"x": [1.0]}],
    expected=np.zeros((1, 1), np.float32),
    tolerance=Tolerance(atol=0, rtol=0),
)


def closed(server: str, variant: str = "tuned") -> Row:
    row: Row = {"server": server, "model": "iris", "variant": variant, "loop": "closed", "round": 0}
    told: Row = {"connections": 64, "per_s": 100.0, "p50_ms": 1.0, "p99_ms": 2.0, "errors": 0}
    return {**row, **told, "cpu_us": 50.0, "generator_busy": 0.5}


def opened(server: str, rate_per_s: float, *, p99_ms: float | None, valid: bool = True) -> Row:
    row: Row = {"server": server, "model": "iris", "variant": "tuned", "loop": "open"}
    told: Row = {"rate": "0.5 of it", "wanted_per_s": rate_per_s, "answered_per_s": rate_per_s}
    told = {**told, "requests": 9, "p50_ms": 1.0, "p90_ms": 1.5, "p99_ms": p99_ms, "errors": 0}
    more: Row = {"unanswered": 0, "late_p99_ms": 0.1, "valid": valid, "generator_busy": 0.2}
    return {**row, **told, **more}


def settings(server: str, variant: str = "tuned") -> Row:
    row: Row = {"server": server, "model": "iris", "variant": variant, "loop": "settings"}
    return {**row, "title": PEERS[server].title, "settings": "defaults"}


@pytest.fixture
def keeper(tmp_path: Path) -> Keeper:
    manual = tmp_path / "README.md"
    manual.write_text("<!-- results: peers -->\nold\n<!-- end of results: peers -->\n")
    return Keeper(command="c", versions={}, settings={}, folder=tmp_path, manual=manual)


def test_rows_are_kept_after_each_server() -> None:
    kept: list[int] = []
    rows, early = collected(
        [[closed("a")], [closed("b"), closed("b")]],
        lambda rows: kept.append(len(rows)),
        limit_s=60,
    )
    assert (kept, len(rows), early) == ([1, 3], 3, "")


def test_after_its_minutes_no_other_server_is_started() -> None:
    def servers() -> Iterator[Sequence[Row]]:
        yield [closed("a")]
        pytest.fail("another was started")

    rows, early = collected(servers(), len, limit_s=-60)
    assert [row["server"] for row in rows] == ["a"]
    assert early == "after -1 minutes"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_the_rows_remain(number: signal.Signals) -> None:
    before = signal.getsignal(number)

    def servers() -> Iterator[Sequence[Row]]:
        yield [closed("a")]
        signal.raise_signal(number)
        yield [closed("b")]

    rows, early = collected(servers(), len, limit_s=60)
    assert [row["server"] for row in rows] == ["a"]
    assert early == "by a signal"
    assert signal.getsignal(number) == before


def test_a_run_that_ended_early_says_what_is_missing(keeper: Keeper) -> None:
    rows = [settings("mosec"), settings("ray"), closed("mosec")]
    keeper.so_far(rows)
    assert not (keeper.folder / "peers.json").exists()
    keeper.done(rows, early="by a signal")
    text = rendered("peers", manual=keeper.manual)
    assert "ended early, by a signal" in text
    assert "Not reached: ray, iris, tuned." in text
    assert "Not reached: mosec" not in text
    assert not (keeper.folder / f"{PARTIAL}.json").exists()


def test_what_a_killed_run_left_becomes_the_report(keeper: Keeper) -> None:
    keeper.so_far([settings("mosec"), closed("mosec")])
    recovered(folder=keeper.folder, manual=keeper.manual)
    assert load("peers", folder=keeper.folder).name == "peers"
    assert "ended early, it was killed" in rendered("peers", manual=keeper.manual)


def test_the_pictures_are_drawn_with_the_section(keeper: Keeper) -> None:
    servers = ("tandem", "mosec")
    rows = [row for name in servers for row in (settings(name), closed(name))]
    rows += [opened(name, rate, p99_ms=3.0) for name in servers for rate in (50.0, 90.0)]
    keeper.done(rows)
    drawn = (keeper.folder / "peers-iris.svg").read_text()
    for wanted in (">Tandem<", ">mosec<", "iris: p50", "iris: p99", "offered rows/s"):
        assert wanted in drawn
    keeper.done(rows)
    assert (keeper.folder / "peers-iris.svg").read_text() == drawn
    assert "ended early" not in rendered("peers", manual=keeper.manual)


def test_late_loads_are_hollow_and_percentiles_without_a_number_at_the_edge() -> None:
    rows = [closed("mosec"), opened("mosec", 50.0, p99_ms=3.0, valid=False)]
    rows += [opened("mosec", 90.0, p99_ms=None)]
    median, last = picture(Figures.of("iris", rows)).axes
    solid, hollow, edge = (np.asarray(line.get_xdata()).tolist() for line in last.lines)
    assert (solid, hollow, edge) == ([50.0], [50.0], [90.0])
    assert last.lines[1].get_markerfacecolor() == "white"
    assert [np.asarray(line.get_xdata()).size for line in median.lines] == [2, 1, 0]


def fake(*argv: str) -> Peer:
    """mosec, as far as anybody can tell before it is started."""
    return replace(PEERS["mosec"], name="fake", commands=lambda _: [Command(argv)])


def test_a_server_that_does_not_start_is_a_row(tmp_path: Path) -> None:
    peer = fake(sys.executable, "-c", "import sys; sys.exit('no such model')")
    scope = Scope(sorted(os.sched_getaffinity(0)), tmp_path)
    (row,) = measured(Subject(peer, "iris", "tuned"), ONE, [], scope)
    assert (row["loop"], row["server"]) == ("failed", "fake")
    assert row["why"] == "NotServing: fake-0 ended: no such model"


def test_a_program_that_is_not_there_is_a_row(tmp_path: Path) -> None:
    peer = replace(fake("/nowhere"), commands=lambda start: [Command([start.scratch / "nowhere"])])
    scope = Scope(sorted(os.sched_getaffinity(0)), tmp_path)
    (row,) = measured(Subject(peer, "iris", "tuned"), ONE, [], scope)
    assert row["loop"] == "failed"


def test_errors_are_no_throughput() -> None:
    found = Load(per_s=1000.0, requests=500, errors=400, p50_ms=1.0, p99_ms=2.0)
    assert Closed(found, 0.5).good_per_s == 200
    silent = Load(per_s=0.0, requests=0, errors=64, p50_ms=0.0, p99_ms=0.0)
    assert Closed(silent, 0.5).good_per_s == 0


SIGNALLED = """
import os, signal, sys
from pathlib import Path
from loadtests.peers.keeping import collected
from loadtests.peers.peer import started
from tests.loadtests.test_peers_keeping import fake

def servers():
    script = "sleep 600 & echo $$ $!; setsid sleep 600 & echo $!; wait; wait"
    cores = sorted(os.sched_getaffinity(0))
    with started(fake("sh", "-c", script), "iris", "tuned", scratch=Path(sys.argv[1]), cores=cores):
        print("started", flush=True)
        signal.pause()
    yield []

print(collected(servers(), len, limit_s=60))
"""


def test_an_interrupted_run_leaves_no_process_behind(tmp_path: Path) -> None:
    """Although whoever interrupts it does so twice."""
    run = subprocess.Popen(
        [sys.executable, "-c", SIGNALLED, str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert run.stdout is not None
    with run.stdout as said:
        assert said.readline() == "started\n"
        log = tmp_path / "fake-iris-tuned" / "fake-0.log"
        while len(pids := log.read_text().split()) < 3:
            os.sched_yield()
        run.send_signal(signal.SIGINT)
        run.send_signal(signal.SIGINT)
        assert said.readline() == "([], 'by a signal')\n"
    assert run.wait(60) == 0
    assert not [pid for pid in pids if _alive(int(pid))]


def _alive(pid: int) -> bool:
    """A zombie has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_tandem_is_recommended_as_it_is_shipped() -> None:
    shipped = read_config(ROOT / "tandem.toml")
    minilm = shipped.models["minilm"]
    assert SHIPPED["buckets"] == ", ".join(map(str, minilm.sequence.buckets))
    assert SHIPPED["max_batch_rows"] == minilm.batching.max_batch_rows
    assert SHIPPED["max_queued_rows"] == minilm.batching.max_queued_rows
    assert shipped.models["iris"].batching == type(minilm.batching)()
