"""A made-up test set for iris, and answers of both frameworks that the gate lets pass."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from model_store.definition import find
from model_store.held_out import HeldOut
from model_store.records import Framework
from serving.export.cases import Case, make_cases
from serving.export.gate import FRAMEWORKS, Verdict, judge

DEFINITION = find("iris")
ROWS = 40

Answered: TypeAlias = dict[Framework, dict[str, dict[str, npt.NDArray[np.float32]]]]


def made_up_set() -> HeldOut:
    """Rows of noise; the expected logits are a linear function of them, and the labels follow those."""
    rng = np.random.default_rng(7)
    x = rng.normal(size=(ROWS, 4)).astype(np.float32)
    logits = (x @ rng.normal(size=(4, 3))).astype(np.float32)
    return HeldOut(
        inputs={"x": x},
        labels=np.argmax(logits, axis=1),
        label_names=("a", "b", "c"),
        expected={"logits": logits},
        decision="argmax",
        decision_output="logits",
    )


HELD_OUT = made_up_set()
CASES = make_cases(DEFINITION, HELD_OUT)


def sound_answers() -> Answered:
    """Both frameworks answer every case as expected; every array may be changed."""
    return {
        framework: {
            case.key: {"logits": HELD_OUT.expected["logits"][case.rows].astype(np.float32)}
            for case in CASES
        }
        for framework in FRAMEWORKS
    }


def verdict_on(answers: Answered) -> Verdict:
    """What the gate says."""
    return judge(DEFINITION, HELD_OUT, CASES, answers)


def case_of(check: str) -> Case:
    """The first part of a check."""
    return next(case for case in CASES if case.check == check)
