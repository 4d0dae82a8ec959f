"""Manifests to test with: one that is sound, and version directories that hold what it says."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from model_store.manifest import FORMAT, MANIFEST, Manifest, describe_files
from model_store.records import (
    Artifact,
    DataRecord,
    DynamicDim,
    FileRecord,
    Framework,
    ModelSignature,
    OptimizerRecord,
    ParityCheck,
    ParityRecord,
    TensorEntry,
    TrainingRecord,
)

ROWS = DynamicDim(axis=0, name="rows", min=1, max=256)

FILES = {
    "saved_model.pb": b"a graph",
    "variables/variables.index": b"an index",
    "model.pt2": b"a package",
}


def sound_artifacts() -> dict[Framework, Artifact]:
    """Both artifacts, of `FILES`; their digests are made up."""
    record = FileRecord(sha256="0" * 64, bytes=0)
    return {
        "tensorflow": Artifact(
            platform="tensorflow_savedmodel",
            framework_version="2.21.0",
            entry=".",
            device="any",
            files={name: record for name in FILES if name != "model.pt2"},
            options={},
        ),
        "torch": Artifact(
            platform="pytorch_aotinductor",
            framework_version="2.13.0+cpu",
            entry="model.pt2",
            device="cpu",
            files={"model.pt2": record},
            options={"cpp.march": "x86-64-v3", "cpp.simdlen": 256, "lowerbound": False},
        ),
    }


def sound_manifest(model: str = "iris", version: int = 1) -> Manifest:
    """A manifest that is accepted."""
    return Manifest(
        format=FORMAT,
        model=model,
        version=version,
        created="2026-01-02T03:04:05+00:00",
        description="made up",
        fingerprint="f" * 64,
        signature=ModelSignature(
            name="serving_default",
            inputs=(TensorEntry(name="x", datatype="FP32", shape=(-1, 4), dynamic=(ROWS,)),),
            outputs=(TensorEntry(name="logits", datatype="FP32", shape=(-1, 3), dynamic=(ROWS,)),),
        ),
        artifacts=sound_artifacts(),
        training=TrainingRecord(
            data=DataRecord(
                name="iris",
                source="made up",
                license="none",
                sha256="a" * 64,
                rows_train=120,
                rows_test=30,
            ),
            seed=1,
            optimizer=OptimizerRecord(name="Adam", lr=0.01, epsilon=1e-8, weight_decay=0.0),
            weight_init="Kaiming",
            batch_size=16,
            epochs=60,
            loss_name="cross-entropy",
            loss={"torch": 0.1, "tensorflow": 0.1},
            accuracy_name="species named right",
            accuracy={"torch": 0.9, "tensorflow": 0.9},
        ),
        parity=ParityRecord(
            atol=1e-5,
            rtol=1e-5,
            decision="argmax of logits",
            checks=(
                ParityCheck(
                    name="ten samples",
                    rows=10,
                    max_abs=1e-7,
                    max_ratio=0.01,
                    decisions=10,
                    same_decisions=10,
                    min_cosine=1.0,
                ),
            ),
        ),
    )


def write_files(folder: Path) -> None:
    """Write `FILES` into the folder."""
    for name, content in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def write_version(store: Path, model: str = "iris", version: int = 1) -> Path:
    """A version directory whose files have the digests that its manifest gives."""
    folder = store / model / str(version)
    write_files(folder)
    manifest = with_real_files(sound_manifest(model, version), folder)
    (folder / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
    return folder


def with_real_files(manifest: Manifest, folder: Path) -> Manifest:
    """The manifest with the digests of what lies in the folder."""
    artifacts = {
        framework: dataclasses.replace(
            artifact, files=describe_files(folder, tuple(artifact.files))
        )
        for framework, artifact in manifest.artifacts.items()
    }
    return dataclasses.replace(manifest, artifacts=artifacts)
