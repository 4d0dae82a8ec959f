"""`tandem plan` answers from measured batches, wherever they come from, and says what it does not know."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main
from tests.fakes.arithmetic import Arithmetic
from tests.fakes.gateways import MODELS, Stack, running

Capture = pytest.CaptureFixture[str]

_TABLE = ["--point", "1=5.5", "--point", "32=21"]


def plan(capsys: Capture, *words: str) -> str:
    assert main(["plan", "--requests", "800", *words]) == 0
    return capsys.readouterr().out


def plan_json(capsys: Capture, *words: str) -> Any:
    return json.loads(plan(capsys, *words, "--json"))


@pytest.mark.slow
def test_two_points_and_a_rate_are_enough(capsys: Capture) -> None:
    """The policy table's backend at 800 requests/s: p50 13 ms, p99 21 ms, 1,524 rows/s at most."""
    words = [*_TABLE, "--rate", "800", "--max-batch-rows", "32", "--spread", "0"]
    told = plan_json(capsys, *words, "--slo-ms", "50")
    assert told["yours"]["capacity_rows_per_s"] == pytest.approx(1524, rel=0.01)
    assert told["yours"]["latency_ms"]["p50"]["middle"] == pytest.approx(13, rel=0.1)
    assert told["yours"]["latency_ms"]["p99"]["middle"] == pytest.approx(21, rel=0.1)
    assert told["slo"]["needs"]["replicas"] == 1
    assert told["load"] == {"requests_per_s": 800, "rows_per_s": 800}
    shown = plan(capsys, *words, "--slo-ms", "50")
    assert "1 row 5.5 ms · 32 rows 21 ms" in shown
    assert "p99 ≤ 50 ms needs 1 replica" in shown


@pytest.mark.slow
def test_more_than_the_backend_can_take_is_told_so(capsys: Capture) -> None:
    """No latency is made up for a queue that grows, and the SLO says how many replicas it takes."""
    words = [*_TABLE, "--rate", "2000", "--max-batch-rows", "32"]
    told = plan_json(capsys, *words, "--slo-ms", "60")
    assert not told["yours"]["is_lasting"]
    assert told["yours"]["latency_ms"] == {}
    assert told["slo"]["needs"]["replicas"] >= 2
    assert told["slo"]["needs"]["max_in_flight"] == told["slo"]["needs"]["replicas"]
    shown = plan(capsys, *words, "--slo-ms", "5")
    assert "grows" in shown
    assert "is kept by no number of replicas: a request that waits for nobody takes 5.5 ms" in shown


@pytest.mark.slow
def test_rows_of_a_request_may_be_a_mixture(capsys: Capture) -> None:
    """Nine of one row and one of eight: 1.7 rows a request."""
    told = plan_json(capsys, *_TABLE, "--rows-rate", "340", "--rows", "1=9,8=1")
    assert told["load"]["requests_per_s"] == pytest.approx(200)
    assert told["yours"]["rows_per_batch"] > 1.7


@pytest.mark.slow
def test_what_is_not_known_is_said(capsys: Capture) -> None:
    """One point, no spread, no overhead, and a load that makes larger batches than were measured."""
    doubts = " ".join(plan_json(capsys, "--point", "4=4", "--rate", "900")["not_known"])
    for words in (
        "sizes that were not measured (4 to 4 rows were): extrapolated",
        "batches above 4 rows were not measured",
        "one measured size tells nothing of what batching saves",
        "10 % of their mean is assumed (--spread)",
        "network and in the gateway is not in it",
        "taken to be Poisson",
    ):
        assert words in doubts
    told = plan_json(capsys, *_TABLE, "--rate", "10", "--spread", "0.2", "--overhead-ms", "1")
    told_doubts = " ".join(told["not_known"])
    assert "--spread" not in told_doubts
    assert "--overhead-ms" not in told_doubts
    assert told["measured"]["overhead_ms"] == pytest.approx(1)


@pytest.mark.slow
def test_a_file_may_be_points_or_saved_statistics(tmp_path: Path, capsys: Capture) -> None:
    """With what else is known of the path."""
    ours = tmp_path / "curve.json"
    points = [{"rows": 1, "ms": 5.5, "batches": 40}, {"rows": 32, "ms": 21}]
    ours.write_text(json.dumps({"points": points, "spread_ratio": 0.05, "overhead_ms": 0.5}))
    told = plan_json(capsys, "--curve", str(ours), "--rate", "100")
    assert told["measured"]["spread_ratio"] == 0.05
    assert told["measured"]["overhead_ms"] == pytest.approx(0.5)
    assert [point["rows"] for point in told["measured"]["points"]] == [1, 32]

    def spent(count: int, ms: float) -> dict[str, int]:
        return {"count": count, "ns": round(count * ms * 1e6)}

    stats = {
        "name": "m",
        "version": "3",
        "inference_stats": {
            "success": spent(90, 9.0),
            "queue": spent(90, 1.0),
            "compute_infer": spent(90, 7.0),
        },
        "batch_stats": [
            {"batch_size": 1, "compute_infer": spent(30, 5.0)},
            {"batch_size": 2, "compute_infer": spent(30, 8.0)},
        ],
    }
    saved = tmp_path / "stats.json"
    saved.write_text(json.dumps({"model_stats": [stats]}))
    told = plan_json(capsys, "--curve", str(saved), "--rate", "50")
    assert [point["ms"] for point in told["measured"]["points"]] == pytest.approx([5.0, 8.0])
    assert told["measured"]["overhead_ms"] == pytest.approx(1.0)
    assert "it rests on 60 batches only" in told["not_known"]


@pytest.mark.slow
def test_a_running_gateway_s_statistics_are_enough(tmp_path: Path, capsys: Capture) -> None:
    """What it has answered so far; a model that has answered nothing is told what to do."""
    path = tmp_path / "t.toml"

    def script(stack: Stack) -> None:
        where = ["--config", str(stack.path), "--rest", stack.gateway.addresses["rest"]]
        assert main(["plan", "floats", "--rate", "5", *where]) == 1
        assert "no batch of floats has been answered yet" in capsys.readouterr().err
        for rows in ("[[1,2,3,4]]", "[[1,2,3,4],[1,2,3,4]]"):
            assert main(["predict", "floats", rows, *where]) == 0
        capsys.readouterr()
        told = plan_json(capsys, "floats", "--rate", "5", *where)
        assert {point["rows"] for point in told["measured"]["points"]} == {1, 2}
        assert told["measured"]["origin"].startswith("floats version 1, 2 batches")
        assert any("the curve is their mixture" in doubt for doubt in told["not_known"])
        assert any("--max-in-flight" in doubt for doubt in told["not_known"])
        assert told["yours"]["max_batch_rows"] == 32
        assert told["yours"]["max_delay_ms"] == pytest.approx(2)
        told = plan_json(capsys, "floats", "--rate", "5", "--max-batch-rows", "8", *where)
        assert told["yours"]["max_batch_rows"] == 8
        assert main(["plan", "floats", "--version", "9", "--rate", "5", *where]) == 1
        assert "has versions 1; choose with --version" in capsys.readouterr().err

    async def scenario() -> None:
        backends = {"tf": Arithmetic(), "torch": Arithmetic(offset=1.5)}
        batching = "[models.floats.batching]\nmax_batch_rows = 32\nmax_delay_ms = 2.0\n"
        async with running(path, backends=backends, models=MODELS + batching) as stack:
            await asyncio.to_thread(script, stack)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "wants one of MODEL, --point ROWS=MS and --curve FILE"),
        (["iris", "--point", "1=2"], "wants one of MODEL, --point ROWS=MS and --curve FILE"),
        (["--point", "8"], "got --point '8', wants ROWS=MS, such as 8=9.5"),
        (["--point", "0=3"], "got 0 rows in 3 ms, wants rows from 1 to 1,000,000"),
        (["--curve", "/nowhere/curve.json"], "/nowhere/curve.json: No such file"),
        (["--point", "1=2", "--percentile", "100"], "wants a percentile below 100"),
        (["--point", "1=2", "--rows", "1=x"], "wants rows such as 4, or rows and weights"),
        (["--point", "1=2", "--replicas", "0"], "wants a whole number from 1 to 256"),
        (["--point", "1=2", "--replicas", "257"], "wants a whole number from 1 to 256"),
        (["--point", "1=2", "--requests", "9" * 5000], "wants a whole number from 1 to 1,000,000"),
        (["--point", "1=2", "--rows", "4000000"], "wants a whole number from 1 to 1,000,000"),
        (["--point", "1=2", "--rows", "4097"], "got --rows 4097, wants at most 4096"),
        (["--point", "1=2", "--rate", "1e300"], "wants a number from 0.000001 to 1,000,000,000"),
        (["--point", "1=2", "--slo-ms", "nan"], "wants a number from 0.000001 to 1,000,000,000"),
        (["--point", "1=2", "--max-delay-ms", "inf"], "wants a number from 0 to 1,000,000,000"),
        (["--point", "1=2", "--spread", "1e200"], "wants a number from 0 to 10"),
        (["--point", "1=nan"], "wants rows from 1 to 1,000,000 and 0.000001 to 1,000,000,000 ms"),
        (["--point", "1=1e300"], "got 1 rows in 1e+300 ms, wants rows from 1 to"),
    ],
)
def test_a_wrong_question_is_told_what_is_right(
    words: list[str], said: str, capsys: Capture
) -> None:
    """With status 2, before anything is simulated."""
    try:
        status: object = main(["plan", "--rate", "10", *words])
    except SystemExit as leaving:
        status = leaving.code
    assert status == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "text",
    [
        "rows",
        "[]",
        '[{"name": "m"}]',
        '{"points": [{"rows": 1}]}',
        '{"points": []}',
        '{"points": 3}',
        '{"points": [{"rows": Infinity, "ms": 2}]}',
        '{"points": [{"rows": 1, "ms": 2}], "overhead_ms": NaN}',
        '{"points": [{"rows": 1, "ms": 2}], "spread_ratio": -1}',
        '{"model_stats": 3}',
        '{"model_stats": [{"name": "m"}]}',
        '{"model_stats": [{"name": "m", "version": "1", "batch_stats": [{}]}]}',
    ],
)
def test_a_file_that_is_no_curve_is_told_what_is_one(
    text: str, tmp_path: Path, capsys: Capture
) -> None:
    """With status 2, and the place, in one line."""
    path = tmp_path / "curve.json"
    path.write_text(text)
    assert main(["plan", "--curve", str(path), "--rate", "10"]) == 2
    said = capsys.readouterr().err
    assert str(path) in said
    assert said.count("\n") == 1


def test_more_replicas_than_are_simulated_are_told_without_simulating_them(
    capsys: Capture,
) -> None:
    """A thousand times what one replica can take."""
    words = ["--point", "1=5", "--rate", "200000", "--slo-ms", "20", "--max-batch-rows", "1"]
    told = plan_json(capsys, *words)["slo"]
    assert told["needs"] is None
    assert told["least_replicas"] >= 1000
    assert "replicas; more than 256 are not simulated" in plan(capsys, *words)


@pytest.mark.slow
def test_what_is_simulated_has_a_bound_which_is_told(capsys: Capture) -> None:
    """Requests of many batches each; and replicas of which each has few batches."""
    words = [*_TABLE, "--rate", "10000", "--replicas", "50"]
    doubts = plan_json(capsys, *words)["not_known"]
    assert any("a run gives each replica" in doubt for doubt in doubts)
    words = ["--point", "1=5", "--rows", "50", "--rate", "1", "--max-batch-rows", "1"]
    doubts = plan_json(capsys, *words)["not_known"]
    assert any("rest on five runs of 400 requests" in doubt for doubt in doubts)


@pytest.mark.slow
def test_no_batch_is_suggested_that_was_not_measured(capsys: Capture) -> None:
    """Not for requests that are larger either: they are split."""
    words = [*_TABLE, "--rows", "64", "--rate", "5", "--max-batch-rows", "1"]
    told = plan_json(capsys, *words)
    assert max(one["max_batch_rows"] for one in [told["best"], *told["tried"]]) == 32


@pytest.mark.slow
def test_a_middle_is_shown_between_its_ends(capsys: Capture) -> None:
    """All three are rounded alike, whatever their size."""
    for ms in ("0.7", "7", "21", "2500"):
        shown = plan(capsys, "--point", f"1={ms}", "--rate", f"{500 / float(ms):g}", "--rows", "1")
        found = re.findall(r"([\d.,]+) ms \[([\d.,]+), ([\d.,]+)\]", shown)
        assert found
        for texts in found:
            middle, low, high = (float(text.replace(",", "")) for text in texts)
            assert low <= middle <= high
