"""What the answers alone show of a cause; causes inside the layers are `test_layers`'."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.tensors import Array
from model_store.records import Framework
from serving.export.cases import AGAIN, ERROR, SAMPLES
from serving.export.causes import Cause, Evidence, likely_causes
from serving.export.gate import FRAMEWORKS
from serving.export.layers import Layers, softmax
from tests.serving.export.answers import (
    CASES,
    DEFINITION,
    HELD_OUT,
    Answered,
    case_of,
    sound_answers,
)


def first_cause(answers: Answered, **outputs: Array) -> Cause:
    """The likeliest cause; `outputs` are of Keras' layer `logits`, as torch's if not given."""
    rows = case_of(SAMPLES).rows
    logits = HELD_OUT.expected["logits"][rows]
    evidence = Evidence(
        definition=DEFINITION,
        held_out=HELD_OUT,
        cases=CASES,
        answers=answers,
        layers=Layers(
            torch={"logits": logits},
            keras={"logits": outputs.get("logits", logits)},
            torch_weights={},
            keras_weights={},
            inputs={"x": HELD_OUT.inputs["x"][rows]},
        ),
    )
    return next(iter(likely_causes(evidence)), Cause(name="none", evidence=""))


def test_sound_answers_have_no_cause() -> None:
    assert first_cause(sound_answers()).name == "none"


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_sizes_that_only_one_export_refuses(framework: Framework) -> None:
    answers = sound_answers()
    for check in ("batches of 1", "batches of 2"):
        refused = answers[framework][case_of(check).key]
        refused.clear()
        refused[ERROR] = np.array("expected >= 16")
    cause = first_cause(answers)
    assert cause.name == "a dimension was fixed or bounded by the export"
    assert cause.evidence.startswith(f"{framework} answered ten samples")
    assert cause.evidence.endswith("and refused batches of 1, batches of 2")


def test_an_export_that_answers_nothing() -> None:
    answers = sound_answers()
    for case in CASES:
        answers["torch"][case.key] = {ERROR: np.array("RuntimeError: no\nstack")}
    assert first_cause(answers) == Cause(
        name="the export does not run", evidence="torch: RuntimeError: no"
    )


def test_other_names_dtypes_and_shapes() -> None:
    answers = sound_answers()
    for case in CASES:
        logits = answers["tensorflow"][case.key]
        logits["output_0"] = logits.pop("logits")
    assert first_cause(answers).name == "output names"
    answers = sound_answers()
    for case in CASES:
        logits = answers["tensorflow"][case.key]
        logits["logits"] = logits["logits"].astype(np.float16)
    cause = first_cause(answers)
    assert cause == Cause(
        name="dtype", evidence="logits: float32 from torch, float16 from tensorflow"
    )
    answers = sound_answers()
    for case in CASES:
        logits = answers["tensorflow"][case.key]
        logits["logits"] = logits["logits"][:, :2]
    assert first_cause(answers).name == "shape"


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_training_mode_is_told_by_its_unsteadiness(framework: Framework) -> None:
    answers = sound_answers()
    answers[framework][case_of(AGAIN).key]["logits"] *= np.float32(1.1)
    cause = first_cause(answers)
    assert cause.name == "eval mode left off"
    assert cause.evidence.startswith(f"{framework} answered the same ten samples")
    answers = sound_answers()
    for check in (SAMPLES, AGAIN):
        answers[framework][case_of(check).key]["logits"] *= np.float32(1.1)
    cause = first_cause(answers)
    assert cause.name == "eval mode left off"
    assert cause.evidence.startswith(f"{framework} answers a row")


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("log", [False, True])
def test_probabilities_instead_of_logits(framework: Framework, *, log: bool) -> None:
    answers = sound_answers()
    for case in CASES:
        shares = softmax(answers[framework][case.key]["logits"].astype(np.float64))
        answers[framework][case.key]["logits"] = (np.log(shares) if log else shares).astype(
            np.float32
        )
    cause = first_cause(answers)
    assert cause.name == "softmax vs logits"
    assert framework in cause.evidence
    assert ("log-softmax" in cause.evidence) == log


def test_classes_in_another_order() -> None:
    answers = sound_answers()
    for case in CASES:
        logits = answers["tensorflow"][case.key]
        logits["logits"] = logits["logits"][:, [2, 0, 1]]
    cause = first_cause(answers)
    assert cause.name == "output order"
    assert cause.evidence.endswith("in the order [2, 0, 1]")


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize(("factor", "reduced"), [(1.001, True), (1.3, False)])
def test_an_export_that_differs_from_its_own_definition(
    framework: Framework, factor: float, *, reduced: bool
) -> None:
    """The layers agree, so it is not the definitions."""
    answers = sound_answers()
    for case in CASES:
        answers[framework][case.key]["logits"] *= np.float32(factor)
    cause = first_cause(answers)
    assert cause.name == "the export changed the numbers"
    assert f"but {framework}'s export is off by" in cause.evidence
    assert ("reduced precision" in cause.evidence) == reduced


def test_a_layer_that_nothing_explains_is_still_named() -> None:
    answers = sound_answers()
    for case in CASES:
        answers["tensorflow"][case.key]["logits"] += np.float32(1.0)
    logits = HELD_OUT.expected["logits"][case_of(SAMPLES).rows]
    cause = first_cause(answers, logits=logits.astype(np.float64) + 1)
    assert cause.name == "the definitions differ"
    assert cause.evidence.startswith("logits is the first layer whose outputs differ, up to 1")
