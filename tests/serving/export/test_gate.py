"""The gate passes builds whose answers are the same, expected, steady and signed, and no other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_store.records import Framework
from serving.export.cases import AGAIN, ERROR, SAMPLES, TEST_SET, Case
from serving.export.gate import FRAMEWORKS, rows_of
from tests.serving.export.answers import (
    CASES,
    DEFINITION,
    HELD_OUT,
    Answered,
    case_of,
    sound_answers,
    verdict_on,
)

Logits: TypeAlias = dict[str, npt.NDArray[Any]]

TOO_FAR = np.float32(0.01)


def failed(answers: Answered) -> set[str]:
    """The names of the checks that failed."""
    return {check.name for check in verdict_on(answers).checks if not check.passed}


def test_sound_answers_pass_and_are_recorded() -> None:
    verdict = verdict_on(sound_answers())
    assert verdict.passed
    assert verdict.accuracy == {"torch": 1.0, "tensorflow": 1.0}
    record = verdict.record(DEFINITION)
    checks = {check.name: check for check in record.checks}
    assert record.decision == "argmax of logits"
    assert (checks[SAMPLES].rows, checks[SAMPLES].same_decisions) == (10, 10)
    assert (checks[TEST_SET].rows, checks[TEST_SET].decisions) == (40, 40)
    assert AGAIN not in checks
    for framework in FRAMEWORKS:
        for name in ("against the definition", "asked twice", "in other company"):
            assert f"{framework} {name}" in checks


def test_the_loss_is_the_cross_entropy() -> None:
    logits = HELD_OUT.expected["logits"].astype(np.float64)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    right = shares[np.arange(len(logits)), HELD_OUT.labels]
    loss = verdict_on(sound_answers()).loss
    assert loss["torch"] == pytest.approx(-np.log(right).mean())


@given(st.sampled_from(CASES), st.sampled_from(FRAMEWORKS), st.data())
def test_any_number_too_far_in_any_case_is_refused(
    case: Case, framework: Framework, data: st.DataObject
) -> None:
    row, column = (data.draw(st.integers(0, n - 1)) for n in (len(case.rows), 3))
    answers = sound_answers()
    answers[framework][case.key]["logits"][row, column] += TOO_FAR
    verdict = verdict_on(answers)
    assert not verdict.passed
    (worst,) = {d.worst for c in verdict.checks for d in c.differences if d.outside}
    assert worst == (case.rows[row], column)


def test_an_unsteady_framework_is_told_from_the_other() -> None:
    answers = sound_answers()
    answers["tensorflow"][case_of(AGAIN).key]["logits"] += TOO_FAR
    assert failed(answers) == {"tensorflow asked twice"}


def test_the_framework_that_is_wrong_is_told_from_the_other() -> None:
    answers = sound_answers()
    for case in CASES:
        answers["torch"][case.key]["logits"] += TOO_FAR
    against = {name for name in failed(answers) if name.endswith("against the definition")}
    assert against == {"torch against the definition"}


def test_a_decision_that_differs_within_tolerance_is_refused() -> None:
    """Two classes all but tied: the numbers are the same, what the caller does is not."""
    answers = sound_answers()
    orders = ([1.0, 1.000001, 0.0], [1.000001, 1.0, 0.0])
    for framework, order in zip(FRAMEWORKS, orders, strict=True):
        answers[framework][case_of("batches of 1").key]["logits"][0] = order
    verdict = verdict_on(answers)
    check = verdict.check("batches of 1")
    assert all(difference.is_same for difference in check.differences)
    assert (check.decisions, check.same_decisions) == (1, 0)
    assert not verdict.passed


def refuse(logits: Logits) -> None:
    logits.clear()
    logits[ERROR] = np.array("RuntimeError: batch too small")


def rename(logits: Logits) -> None:
    logits["output_0"] = logits.pop("logits")


def widen(logits: Logits) -> None:
    logits["logits"] = logits["logits"].astype(np.float64)


def lose_a_row(logits: Logits) -> None:
    logits["logits"] = logits["logits"][:-1]


def add_a_class(logits: Logits) -> None:
    logits["logits"] = np.pad(logits["logits"], ((0, 0), (0, 1)))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (refuse, "tensorflow refused batches of 2 (2 rows): RuntimeError: batch too small"),
        (rename, "tensorflow: got outputs ['output_0'], the signature has ['logits']"),
        (
            widen,
            "got float64 [2, 3] for 2 rows of batches of 2, the signature has float32 [rows, 3]",
        ),
        (lose_a_row, "got float32 [1, 3] for 2 rows of batches of 2"),
        (add_a_class, "got float32 [2, 4] for 2 rows of batches of 2"),
    ],
)
def test_what_does_not_fit_the_signature_is_a_problem(
    spoil: Callable[[Logits], None], message: str
) -> None:
    answers = sound_answers()
    spoil(answers["tensorflow"][case_of("batches of 2").key])
    verdict = verdict_on(answers)
    assert not verdict.passed
    (problem,) = verdict.problems
    assert message in problem


def test_rows_come_back_in_the_order_of_the_test_set() -> None:
    outputs = rows_of(CASES, sound_answers()["torch"], TEST_SET)
    np.testing.assert_array_equal(outputs["logits"], HELD_OUT.expected["logits"])
