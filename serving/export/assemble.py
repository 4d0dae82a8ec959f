"""What is written down of a build that passed? The manifest, from what the steps left behind."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

from model_store.definition import Definition, Recipe
from model_store.manifest import FORMAT, Manifest, describe_files
from model_store.records import (
    Artifact,
    DataRecord,
    Framework,
    OptimizerRecord,
    TrainingRecord,
)
from serving.export.gate import FRAMEWORKS, Verdict
from serving.export.work import Work, read_record

__all__ = ["assemble"]


def assemble(definition: Definition, work: Work, verdict: Verdict, fingerprint: str) -> Manifest:
    """The manifest of the version directory in `work`; publishing gives it its version.

    Raises:
        ManifestError: a file that an artifact needs is missing.
    """
    return Manifest(
        format=FORMAT,
        model=definition.name,
        version=0,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        description=definition.description,
        fingerprint=fingerprint,
        signature=definition.signature,
        artifacts={framework: _artifact(framework, work) for framework in FRAMEWORKS},
        training=_training(definition, work, verdict),
        parity=verdict.record(definition),
    )


def _artifact(framework: Framework, work: Work) -> Artifact:
    record = read_record(Artifact, work.artifact(framework))
    if framework == "torch":
        names = [record.entry]
    else:
        # The SavedModel is whatever lies in the version directory beside the other exports.
        names = [
            path.relative_to(work.version).as_posix()
            for path in work.version.rglob("*")
            if path.is_file() and path not in (work.model_pt2, work.test_set)
        ]
    return dataclasses.replace(record, files=describe_files(work.version, tuple(names)))


def _training(definition: Definition, work: Work, verdict: Verdict) -> TrainingRecord:
    recipe = definition.recipe
    return TrainingRecord(
        data=read_record(DataRecord, work.data),
        seed=recipe.seed if recipe else 0,
        optimizer=_optimizer(recipe) if recipe else None,
        weight_init=recipe.weight_init if recipe else definition.weight_origin,
        batch_size=recipe.batch_size if recipe else 0,
        epochs=recipe.epochs if recipe else 0,
        loss_name="cross-entropy of the logits" if recipe else "",
        loss=verdict.loss,
        accuracy_name=definition.accuracy_name,
        accuracy=verdict.accuracy,
    )


def _optimizer(recipe: Recipe) -> OptimizerRecord:
    return OptimizerRecord(
        name="Adam", lr=recipe.lr, epsilon=recipe.epsilon, weight_decay=recipe.weight_decay
    )
