"""The models that ship are defined soundly; what can be known of them without a framework."""

from __future__ import annotations

import dataclasses
import importlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import model_store
from model_store.definition import Definition, find, known_models
from model_store.held_out import TEST_SET, HeldOut
from model_store.manifest import Manifest, verify, versions
from model_store.records import Framework
from tests.model_store.manifests import sound_manifest

STORE = Path(model_store.__path__[0])
BUILT = [(model, version) for model in known_models() for version in versions(STORE, model)]


def test_the_models_that_ship() -> None:
    assert known_models() == ("digits", "iris", "minilm")


@pytest.mark.parametrize("model", known_models())
def test_a_definition_makes_a_manifest_that_is_accepted(model: str) -> None:
    definition = find(model)
    manifest = dataclasses.replace(
        sound_manifest(model), signature=definition.signature, description=definition.description
    )
    assert Manifest.from_json(manifest.to_json()) == manifest
    assert definition.name == model
    outputs = [entry.name for entry in definition.signature.outputs]
    assert definition.decision_output in outputs
    assert definition.signature.as_signature().is_batchable


@pytest.mark.parametrize("model", known_models())
def test_every_folder_has_its_modules(model: str) -> None:
    names = {path.name for path in (STORE / model).glob("*.py")}
    wanted = {"definition", "data", "torch_model", "keras_model", "weights", "__init__"}
    assert names == {f"{name}.py" for name in wanted}


class _Recorder(dict[str, np.ndarray]):
    """Any weight, in the shape that its name asks for; counts who was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: Counter[str] = Counter()

    def __missing__(self, name: str) -> np.ndarray:
        self.asked[name] += 1
        is_conv = name.startswith("conv") and name.endswith("weight")
        shape = (2, 2, 3, 3) if is_conv else (64, 512) if name == "dense1.weight" else (4, 4)
        return np.zeros(shape, dtype=np.float32)


@pytest.mark.parametrize("model", known_models())
def test_no_weight_is_carried_over_twice(model: str) -> None:
    recorder = _Recorder()
    importlib.import_module(f"model_store.{model}.weights").to_keras(recorder)
    assert recorder.asked
    assert set(recorder.asked.values()) == {1}


@pytest.mark.parametrize(("model", "version"), BUILT)
def test_a_built_version_is_what_its_manifest_says(model: str, version: int) -> None:
    """Whatever is built on this machine: undamaged, as defined, its recorded parity within tolerance."""
    version_dir = STORE / model / str(version)
    manifest = Manifest.load(version_dir)
    frameworks: tuple[Framework, ...] = ("torch", "tensorflow")
    for framework in frameworks:
        verify(version_dir, framework)
    for check in manifest.parity.checks:
        assert check.max_ratio <= 1
        assert check.same_decisions == check.decisions
    _check_test_set(find(model), HeldOut.load(version_dir / TEST_SET))


def _check_test_set(definition: Definition, held_out: HeldOut) -> None:
    inputs = held_out.take(range(10))
    for entry in definition.signature.inputs:
        assert entry.as_spec().accepts_shape(inputs[entry.name].shape)
    rows = np.arange(held_out.rows)
    right = held_out.is_right(rows, held_out.expected[definition.decision_output])
    assert right.mean() > 0.6
