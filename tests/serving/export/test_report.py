"""An outcome is told in one line, and a refusal says which outputs differ, where, by how much, and why."""

from __future__ import annotations

import dataclasses
import json

import numpy as np

from model_store.manifest import Manifest
from model_store.records import ParityCheck
from serving.export.build import Outcome
from serving.export.causes import Cause
from serving.export.report import as_json, describe, summary
from tests.model_store.manifests import sound_manifest
from tests.serving.export.answers import DEFINITION, case_of, sound_answers, verdict_on


def published() -> Manifest:
    """A manifest with both checks that the summary tells."""
    manifest = sound_manifest(version=3)
    samples = manifest.parity.checks[0]
    test_set = ParityCheck(
        name="test set",
        rows=30,
        max_abs=1.23e-7,
        max_ratio=0.1,
        decisions=30,
        same_decisions=30,
        min_cosine=1.0,
    )
    parity = dataclasses.replace(manifest.parity, checks=(samples, test_set))
    return dataclasses.replace(manifest, parity=parity)


def refused() -> Outcome:
    """A build whose SavedModel is wrong in one number of the ten samples, and in a decision."""
    answers = sound_answers()
    case = case_of("ten samples")
    logits = answers["tensorflow"][case.key]["logits"]
    logits[2, int(np.argmin(logits[2]))] += np.float32(100)
    return Outcome(
        model="iris",
        status="refused",
        verdict=verdict_on(answers),
        causes=(Cause(name="softmax vs logits", evidence="made up"),),
    )


def test_the_line_of_a_build() -> None:
    built = Outcome(model="iris", status="built", manifest=published())
    assert summary(built) == (
        "iris ✓ parity 1.2e-07, 10/10 and 30/30 same decisions, accuracy 0.900 both (version 3)"
    )
    again = dataclasses.replace(built, status="unchanged")
    assert summary(again).endswith("(version 3, unchanged)")
    assert describe(DEFINITION, built) == []


def test_accuracies_that_differ_are_both_told() -> None:
    manifest = published()
    training = dataclasses.replace(manifest.training, accuracy={"torch": 0.9, "tensorflow": 0.8666})
    outcome = Outcome(
        model="iris", status="built", manifest=dataclasses.replace(manifest, training=training)
    )
    assert "accuracy torch 0.900, tensorflow 0.867 (" in summary(outcome)


def test_a_refusal_says_what_where_how_much_and_why() -> None:
    outcome = refused()
    row = case_of("ten samples").rows[2]
    text = "\n".join(describe(DEFINITION, outcome))
    assert summary(outcome).startswith("iris ✗ not published")
    assert "ten samples: logits: 1 of 30 numbers differ by more than 5e-05 + 1e-05·|x|" in text
    assert f"worst at row {row}, element [" in text
    assert "at most 1e+02 apart" in text
    assert "ten samples: 1 of 10 decisions differ (argmax of logits)" in text
    assert "likely causes:\n  1. softmax vs logits: made up" in text


def test_problems_and_the_lack_of_a_cause_are_told() -> None:
    answers = sound_answers()
    for case in ("batches of 1", "batches of 2"):
        logits = answers["torch"][case_of(case).key]
        logits["other"] = logits.pop("logits")
    outcome = Outcome(model="iris", status="refused", verdict=verdict_on(answers))
    text = describe(DEFINITION, outcome)
    assert "torch: got outputs ['other'], the signature has ['logits']" in text[0]
    assert text[-1] == "no known cause fits"


def test_everything_is_there_for_a_program_too() -> None:
    text = json.loads(json.dumps(as_json(DEFINITION, refused())))
    assert text["status"] == "refused"
    assert text["version"] is None
    assert text["causes"] == [{"name": "softmax vs logits", "evidence": "made up"}]
    built = Outcome(model="iris", status="built", manifest=published())
    text = json.loads(json.dumps(as_json(DEFINITION, built)))
    assert text["version"] == 3
    assert text["parity"]["checks"][1]["max_abs"] == 1.23e-7
    assert text["accuracy"] == {"torch": 0.9, "tensorflow": 0.9}
