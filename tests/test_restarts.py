"""Whether and when a backend is started again, decided on plain values."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.restarts import Patience, Record, after_failure

PATIENCE = Patience(first_wait_s=1, longest_wait_s=5, max_failures=6, steady_s=60)
RUNNING = Record(was_ready=True)

patiences = st.builds(
    Patience,
    first_wait_s=st.floats(0.001, 10),
    longest_wait_s=st.floats(10, 1000),
    max_failures=st.integers(1, 40),
    steady_s=st.floats(0, 1000),
)


def test_waits_double_up_to_the_longest_and_then_it_is_given_up() -> None:
    """Five restarts in a row, and the sixth failure is the last."""
    record, waits = RUNNING, []
    while (verdict := after_failure(record, 0.5, PATIENCE)).wait_s is not None:
        record = verdict.record
        waits.append(verdict.wait_s)
    assert waits == [1, 2, 4, 5, 5]
    assert (verdict.record.failures, verdict.record.restarts) == (6, 5)


def test_what_never_was_ready_is_not_started_again() -> None:
    """Waiting does not repair a wrong command line."""
    assert after_failure(Record(), None, PATIENCE).wait_s is None


def test_a_first_life_that_was_ready_earns_a_restart() -> None:
    """However short it was."""
    verdict = after_failure(Record(), 0.0, PATIENCE)
    assert verdict.wait_s == 1
    assert verdict.record == Record(failures=1, restarts=1, was_ready=True)


def test_a_restart_that_does_not_become_ready_is_one_more_failure() -> None:
    """It has been ready before, so it may be again."""
    verdict = after_failure(Record(failures=2, restarts=7, was_ready=True), None, PATIENCE)
    assert verdict.record == Record(failures=3, restarts=8, was_ready=True)
    assert verdict.wait_s == 4


@given(patiences, st.integers(0, 50), st.integers(0, 1000), st.floats(0, 2000))
def test_only_having_been_ready_long_enough_starts_the_row_anew(
    patience: Patience, failures: int, restarts: int, ready_s: float
) -> None:
    """At `steady_s` and beyond, and never before."""
    record = Record(failures=failures, restarts=restarts, was_ready=True)
    after = after_failure(record, ready_s, patience).record
    assert after.failures == (1 if ready_s >= patience.steady_s else failures + 1)


@given(patiences, st.lists(st.none() | st.floats(0, 2000), max_size=60))
def test_every_wait_is_bounded_and_every_row_ends(
    patience: Patience, lives: list[float | None]
) -> None:
    """Whatever a backend does."""
    record = RUNNING
    for ready_s in lives:
        verdict = after_failure(record, ready_s, patience)
        if verdict.wait_s is None:
            assert verdict.record.failures >= patience.max_failures
            return
        assert verdict.record.failures < patience.max_failures
        assert patience.first_wait_s <= verdict.wait_s <= patience.longest_wait_s
        assert verdict.record.restarts == record.restarts + 1
        record = verdict.record
