"""What must be said of a model before it is built? Its signature, its data, how it is trained and compared.

Each folder `model_store/<model>/` defines one model in both frameworks:

    definition.py    `DEFINITION`: the values below; imports no framework
    data.py          `load() -> Dataset`: the real data; runs in the torch environment
    torch_model.py   `build()`: the module, whose inputs and outputs are the signature's, in order
    weights.py       `to_keras(weights)`: the explicit mapping from torch's layouts to Keras' (numpy only)
    keras_model.py   `build()`: the same model in Keras, with the same names for its layers

`serving.export` does the rest, in the same way for every model.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from gateway.tensors import Array
from model_store.records import ModelSignature

__all__ = [
    "Dataset",
    "Decision",
    "Definition",
    "Recipe",
    "Rows",
    "SourceFile",
    "find",
    "known_models",
]

# What a caller does with the output: take the largest class, or the nearest neighbour of a vector.
Decision: TypeAlias = Literal["argmax", "nearest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a classifier is trained: Adam on the cross-entropy of its logits, once, in torch."""

    seed: int
    lr: float
    epsilon: float
    weight_decay: float
    batch_size: int
    epochs: int
    weight_init: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """A file that an installed distribution carries and a model is made from; `path` as installed."""

    distribution: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """One model, apart from its code.

    Attributes:
        signature: Inputs in the order in which both models take them, outputs as they return them.
        decision: What is compared besides numbers, made from `decision_output` ([rows, classes or size]).
        atol, rtol: The tolerance of the parity gate: |a - b| <= atol + rtol * max(|a|, |b|).
        recipe: None for weights taken as published; then `weight_origin` says whose.
        sources: The data files behind the model; they enter its fingerprint.
        accuracy_name: What the recorded accuracy counts.
    """

    name: str
    description: str
    signature: ModelSignature
    decision: Decision
    decision_output: str
    atol: float
    rtol: float
    recipe: Recipe | None
    weight_origin: str
    sources: tuple[SourceFile, ...]
    accuracy_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Rows of data: `inputs[name]` is `[rows, …]`, `labels` int64 `[rows]`.

    Attributes:
        lengths: int64 `[rows]`, how much of axis 1 of the ragged inputs is real; None without ragged inputs.
        texts: What a person reads of each row, where there is something to read; else empty.
    """

    inputs: Mapping[str, Array]
    labels: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64] | None = None
    texts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """The data of a model; `train` is None where nothing is trained."""

    name: str
    source: str
    license: str
    label_names: tuple[str, ...]
    train: Rows | None
    test: Rows


def known_models() -> tuple[str, ...]:
    """The names of the models defined beside this module, in alphabetical order."""
    here = Path(__file__).parent
    return tuple(sorted(path.parent.name for path in here.glob("*/definition.py")))


def find(model: str) -> Definition:
    """The definition of a known model."""
    module = importlib.import_module(f"model_store.{model}.definition")
    definition: Definition = module.DEFINITION
    return definition
