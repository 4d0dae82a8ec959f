"""Test sets of the models in `tests.fakes.arithmetic`, whose answers can be worked out here."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from loadtests.answers import Tolerance
from loadtests.samples import Subject
from model_store.held_out import TEST_SET, HeldOut
from model_store.manifest import MANIFEST
from tests.model_store.manifests import sound_manifest

__all__ = ["SUBJECTS", "write_store"]

ROWS = 40
WIDTH = 64  # of the padded token ids


def _floats(rng: np.random.Generator) -> HeldOut:
    x = rng.normal(size=(ROWS, 4)).astype(np.float32)
    y = x * np.float32(2) + np.float32(1)
    return HeldOut(
        inputs={"x": x},
        labels=np.argmax(y, axis=1).astype(np.int64),
        label_names=("a", "b", "c", "d"),
        expected={"y": y},
        decision="argmax",
        decision_output="y",
    )


def _tokens(rng: np.random.Generator) -> HeldOut:
    lengths = rng.integers(1, WIDTH, size=ROWS).astype(np.int64)
    real = np.arange(WIDTH) < lengths[:, None]
    ids = np.where(real, rng.integers(1, 1000, size=(ROWS, WIDTH)), 0).astype(np.int64)
    return HeldOut(
        inputs={"ids": ids},
        labels=np.zeros(ROWS, np.int64),
        label_names=("any",),
        expected={"total": ids.sum(axis=1)},
        decision="argmax",
        decision_output="total",
        ragged=("ids",),
        lengths=lengths,
    )


def _pairs(rng: np.random.Generator) -> HeldOut:
    a = rng.normal(size=(ROWS, 2)).astype(np.float32)
    b = rng.integers(-9, 9, size=ROWS).astype(np.int32)
    return HeldOut(
        inputs={"a": a, "b": b},
        labels=np.zeros(ROWS, np.int64),
        label_names=("any",),
        expected={"sum": (a + b[:, None]).astype(np.float32), "twice": b * np.int32(2)},
        decision="argmax",
        decision_output="sum",
    )


SUBJECTS = {
    model: Subject(
        model=model,
        held_out=make(np.random.default_rng(7)),
        tolerance=Tolerance(atol=1e-5, rtol=1e-5),
    )
    for model, make in {"floats": _floats, "tokens": _tokens, "pairs": _pairs}.items()
}


def write_store(store: Path) -> None:
    """A store with one version of each model: what a load test reads of it, and no export."""
    for model, subject in SUBJECTS.items():
        folder = store / model / "1"
        folder.mkdir(parents=True)
        subject.held_out.save(folder / TEST_SET)
        (folder / MANIFEST).write_text(sound_manifest(model).to_json(), encoding="utf-8")
