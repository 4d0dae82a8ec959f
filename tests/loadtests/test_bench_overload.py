"""The figures of overload, from runs that a test wrote."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.bench_overload.figures import outcome, recovery_s
from loadtests.bench_overload.load import surge, timed
from loadtests.bench_overload.section import section
from loadtests.bench_overload.targets import targets
from loadtests.open_loop import Answer, Offered, post
from loadtests.results import Row
from tests.loadtests.reports import report

DEADLINE_S = 0.5
SENT = st.tuples(
    st.floats(0, 10, exclude_max=True),
    st.one_of(st.none(), st.floats(0, 2)),
    st.sampled_from([200, 429, 503, 504, 500]),
)


def offered(sent: list[tuple[float, float | None, int]]) -> Offered:
    """A run of (due, took or None for never, status), in seconds."""
    sent = sorted(sent, key=lambda one: one[0])
    due = np.array([at for at, _, _ in sent], float)
    took = np.array([np.nan if s is None else s for _, s, _ in sent], float)
    return Offered(
        due_s=due,
        reached_s=due,
        answered_s=due + took,
        answers=[None if s is None else Answer(status, b"") for _, s, status in sent],
        seconds=10.0,
        busy_ratio=0.1,
    )


@given(st.lists(SENT))
def test_every_request_is_counted_once(sent: list[tuple[float, float | None, int]]) -> None:
    """Whatever became of it."""
    found = outcome(offered(sent), DEADLINE_S, since_s=2.0, until_s=8.0)
    parts = (
        found.good_per_s,
        found.late_per_s,
        found.refused_per_s,
        found.gave_up_per_s,
        found.failed_per_s,
    )
    assert sum(parts) == pytest.approx(found.offered_per_s)
    assert found.offered_per_s * 6.0 == pytest.approx(sum(2.0 <= at < 8.0 for at, _, _ in sent))


def test_an_answer_in_time_is_good_and_a_moment_later_is_late() -> None:
    """Both are in the percentiles; a refusal is not."""
    run = offered([(1.0, 0.5, 200), (2.0, 0.5001, 200), (3.0, 0.01, 429), (4.0, 0.6, 504)])
    found = outcome(run, DEADLINE_S, since_s=0.0, until_s=10.0)
    assert (found.good_per_s, found.late_per_s) == (0.1, 0.1)
    assert (found.refused_per_s, found.gave_up_per_s, found.failed_per_s) == (0.1, 0.1, 0.0)
    assert found.p99_ms == pytest.approx(500.1)
    assert found.refused_p99_ms == pytest.approx(10)


def steady(times: np.ndarray, bad_until_s: float) -> Offered:
    return offered([(float(at), 2.0 if at < bad_until_s else 0.1, 200) for at in times])


@pytest.mark.parametrize(("bad_until_s", "recovered_s"), [(0.0, 0.0), (3.0, 1.0), (3.1, 1.5)])
def test_recovery_ends_with_the_last_bad_window(bad_until_s: float, recovered_s: float) -> None:
    """The overload ended at 2 s."""
    run = steady(np.arange(2.0, 6.0, 0.01), bad_until_s)
    assert recovery_s(run, DEADLINE_S, since_s=2.0, until_s=6.0) == recovered_s


def test_what_is_bad_to_the_end_has_not_recovered() -> None:
    run = steady(np.arange(2.0, 6.0, 0.01), 5.6)
    assert recovery_s(run, DEADLINE_S, since_s=2.0, until_s=6.0) is None


def test_a_surge_keeps_its_rates_and_their_order() -> None:
    """Seeded: the same for every server."""
    due = surge([(300.0, 2.0), (50.0, 4.0)], seed=3)
    assert (np.diff(due) >= 0).all()
    assert int((due < 2.0).sum()) == pytest.approx(600, rel=0.2)
    assert int((due >= 2.0).sum()) == pytest.approx(200, rel=0.3)
    assert due[-1] < 6.0
    assert (due == surge([(300.0, 2.0), (50.0, 4.0)], seed=3)).all()


def test_a_told_deadline_changes_nothing_else_of_a_request() -> None:
    told = timed(post("/v1/models/m:predict", b'{"a":"\r\n\r\n"}'), 500.0)
    head, _, body = told.partition(b"\r\n\r\n")
    assert body == b'{"a":"\r\n\r\n"}'
    assert head.endswith(b"\r\nX-Tandem-Timeout-Ms: 500")


def row(load: float, good: float, **changed: object) -> Row:
    found: dict[str, object] = {
        "server": "tandem", "phase": "steady", "load": load, "capacity_per_s": 100.0,
        "offered_per_s": load * 100, "good_per_s": good, "late_per_s": 0.0, "refused_per_s": 1.0,
        "gave_up_per_s": 0.0, "failed_per_s": 0.0, "p50_ms": 100.0, "p99_ms": 400.0,
        "refused_p99_ms": None, "recovery_s": None, "wrong": 0, "valid": True,
    }  # fmt: skip
    return {**found, **changed}  # type: ignore[dict-item]  # a report's values, all of them


ROWS = [
    row(0.5, 50.0),
    row(1.5, 95.0),
    row(3.0, 80.0),
    row(3.0, 49.0, phase="after a surge", recovery_s=2.0),
    row(3.0, 0.0, server="mosec"),
    row(3.0, 0.0, server="mosec", phase="after a surge"),
]


def test_the_targets_are_of_tandem_alone() -> None:
    """And say by how much they are missed; what was not measured is not missed."""
    found = {target.what: target for target in targets(ROWS, DEADLINE_S)}
    assert found["goodput at 1.5 × capacity ÷ capacity"].met
    assert found["goodput at 3 × capacity ÷ capacity"].got == pytest.approx(0.8)
    assert not found["goodput at 3 × capacity ÷ capacity"].met
    assert found["p99 of the accepted at 3 × capacity ÷ deadline"].got == pytest.approx(0.8)
    assert found["seconds to recover after 3 × capacity"].got == 2.0
    assert all(target.met is None for target in targets(ROWS[-2:], DEADLINE_S))


def test_the_section_has_a_line_for_each_load_and_each_surge() -> None:
    text = section(report(ROWS, targets(ROWS, DEADLINE_S)))
    assert "| Tandem | 1.5× | 150 | 95 | 0.95 |" in text
    assert "| mosec | 3 | not while it was watched |" in text
    assert "**missed by 11 %**" in text
