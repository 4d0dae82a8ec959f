"""Model stores for tests: versions with true manifests around any package."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from gateway.tensors import Datatype
from model_store.manifest import FORMAT, MANIFEST, Manifest, describe_files
from model_store.records import (
    Artifact,
    DataRecord,
    DynamicDim,
    ModelSignature,
    ParityRecord,
    TensorEntry,
    TrainingRecord,
)

__all__ = ["MLP", "PAIR", "SLOW", "entry", "publish", "rows", "signature", "unpublish"]


def rows(axis: int = 0, least: int = 1, most: int = 64) -> DynamicDim:
    """The batch dimension."""
    return DynamicDim(axis=axis, name="rows", min=least, max=most)


def entry(name: str, datatype: Datatype, shape: Sequence[int], *dynamic: DynamicDim) -> TensorEntry:
    """One input or output."""
    return TensorEntry(name=name, datatype=datatype, shape=tuple(shape), dynamic=dynamic)


def signature(inputs: Sequence[TensorEntry], outputs: Sequence[TensorEntry]) -> ModelSignature:
    """The default signature."""
    return ModelSignature(name="serving_default", inputs=tuple(inputs), outputs=tuple(outputs))


_LENGTH = DynamicDim(axis=1, name="length", min=1, max=32)

MLP = signature([entry("x", "FP32", (-1, 4), rows())], [entry("logits", "FP32", (-1, 3), rows())])
PAIR = signature(
    [
        entry("ids", "INT64", (-1, -1), rows(), _LENGTH),
        entry("weights", "FP32", (-1, -1), rows(), _LENGTH),
    ],
    [
        entry("total", "FP32", (-1,), rows()),
        entry("doubled", "INT64", (-1, -1), rows(), _LENGTH),
    ],
)
SLOW = signature([entry("x", "FP32", (-1, 1024), rows())], [entry("mean", "FP32", (-1, 1), rows())])


def publish(
    store: Path, name: str, package: bytes, declared: ModelSignature, *, device: str = "cpu"
) -> Path:
    """Write a version aside and rename it into its place, as the model store does.

    Args:
        store: The store's folder.
        name: `model/version`.
        package: The bytes of `model.pt2`.
        declared: What the manifest says of its inputs and outputs.
        device: What the manifest says that it was built for.
    """
    model, version = name.split("/")
    aside = store / ".aside" / name
    aside.mkdir(parents=True)
    (aside / "model.pt2").write_bytes(package)
    manifest = _manifest(model, int(version), aside, declared)
    text = manifest.to_json().replace('"device": "cpu"', f'"device": "{device}"')
    (aside / MANIFEST).write_text(text, encoding="utf-8")
    (store / model).mkdir(exist_ok=True)
    return aside.rename(store / name)


def unpublish(store: Path, name: str) -> None:
    """Take a version out of the store at once."""
    target = store / ".gone" / name.replace("/", "-")
    target.parent.mkdir(exist_ok=True)
    os.rename(store / name, target)  # noqa: PTH104  # the point is that it is one system call


def _manifest(model: str, version: int, folder: Path, declared: ModelSignature) -> Manifest:
    artifact = Artifact(
        platform="pytorch_aotinductor",
        framework_version="2.13.0",
        entry="model.pt2",
        device="cpu",
        files=describe_files(folder, ("model.pt2",)),
        options={},
    )
    data = DataRecord(
        name="none", source="made up", license="", sha256="0" * 64, rows_train=0, rows_test=0
    )
    training = TrainingRecord(
        data=data,
        seed=0,
        optimizer=None,
        weight_init="",
        batch_size=1,
        epochs=0,
        loss_name="",
        loss={},
        accuracy_name="",
        accuracy={},
    )
    return Manifest(
        format=FORMAT,
        model=model,
        version=version,
        created="2026-01-01T00:00:00+00:00",
        description="",
        fingerprint="0" * 64,
        signature=declared,
        artifacts={"torch": artifact},
        training=training,
        parity=ParityRecord(atol=0.0, rtol=0.0, decision="", checks=()),
    )
