"""The figures of predictions, from runs that a test wrote; and a curve, measured of a real gateway."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from gateway.cli.plan_inputs import from_file
from loadtests.bench_plan.asked import BACKENDS, Asked
from loadtests.bench_plan.curve import measure
from loadtests.bench_plan.section import line, off_by, section, targets
from loadtests.results import Row
from tests.fakes.arithmetic import Arithmetic
from tests.fakes.gateways import running
from tests.loadtests.reports import report


def row(
    *, load: float = 0.5, p50: tuple[float, float] = (10, 10), p99: float = 20, valid: bool = True
) -> Row:
    """A load whose p50 was predicted and measured as told, and whose p99 was 20 ms."""
    return {
        "backend": "paced",
        "load": load,
        "offered_per_s": 800.0,
        "p50_predicted_ms": p50[0],
        "p50_ms": p50[1],
        "p99_predicted_ms": p99,
        "p99_ms": 20.0,
        "rows_per_batch_predicted": 6.6,
        "valid": valid,
    }


def test_a_prediction_is_off_by_its_share_of_what_was_measured() -> None:
    """Above 0 where it is slower than the gateway was."""
    assert off_by(row(p50=(12, 10)), "p50") == pytest.approx(0.2)
    assert off_by(row(p50=(8, 10)), "p50") == pytest.approx(-0.2)
    assert line(row(p50=(8, 10)))[3:6] == ["8.0", "10.0", "−20 %"]


def test_a_target_is_the_worst_load_by_the_median_of_its_rounds() -> None:
    """One disturbed round decides nothing, and a late generator's does not count."""
    rows = [
        row(load=0.5, p50=(10, 10)),
        row(load=0.5, p50=(10, 10)),
        row(load=0.5, p50=(1, 10)),
        row(load=0.8, p50=(9, 10)),
        row(load=0.9, p50=(1, 10), valid=False),
    ]
    p50, p99 = targets(rows)
    assert p50.got == pytest.approx(0.1)
    assert p50.met
    assert p99.got == 0


def test_what_was_not_measured_is_neither_met_nor_missed() -> None:
    """Where the generator was always late."""
    assert [target.met for target in targets([row(valid=False)])] == [None, None]


def test_the_section_has_every_round() -> None:
    """And marks those in which the generator was late."""
    rows = (row(), row(load=0.85, valid=False))
    text = section(report(rows, targets(rows)))
    assert "| paced | 50 % | 800 | 10.0 | 10.0 | +0 % |" in text
    assert "| paced | 85 % (generator late) |" in text
    assert "≤ 0.35" in text


@pytest.mark.slow
def test_a_curve_that_was_measured_is_one_that_tandem_plan_reads(tmp_path: Path) -> None:
    """Points of the sizes asked for, from the gateway's statistics."""
    asked = Asked(model="floats", row=[1.0, 2.0, 3.0, 4.0], is_torch=False, title="floats")

    async def scenario() -> dict[str, object]:
        backends = {"tf": Arithmetic(), "torch": Arithmetic(offset=1.5)}
        async with running(tmp_path / "t.toml", backends=backends) as stack:
            address = stack.gateway.addresses["rest"]
            return await asyncio.to_thread(measure, asked, address, sizes=[1, 2], seconds=0.2)

    curve = tmp_path / "curve.json"
    curve.write_text(json.dumps(asyncio.run(scenario())))
    measured = from_file(curve)
    assert [point.rows for point in measured.curve.points] == [1, 2]
    assert all(point.batches >= 10 for point in measured.curve.points)
    assert measured.spread_ratio is not None
    assert measured.overhead_s is not None


@pytest.mark.parametrize("asked", BACKENDS.values(), ids=BACKENDS)
def test_a_request_has_as_many_rows_as_are_asked_for(asked: Asked) -> None:
    """In TF Serving's JSON."""
    body = asked.request(3).partition(b"\r\n\r\n")[2]
    assert json.loads(body)["instances"] == [asked.row] * 3
