"""What does a manifest record? Frozen values; `model_store.manifest` reads, checks and writes them.

Every field is required in the file: a record says everything or is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from gateway.tensors import Datatype, Signature, TensorSpec

__all__ = [
    "Artifact",
    "DataRecord",
    "DynamicDim",
    "FileRecord",
    "Framework",
    "ModelSignature",
    "OptimizerRecord",
    "ParityCheck",
    "ParityRecord",
    "TensorEntry",
    "TrainingRecord",
]

Framework: TypeAlias = Literal["tensorflow", "torch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DynamicDim:
    """A dimension that callers choose. Dimensions of one name are equal in every tensor of a call.

    Attributes:
        axis: Which dimension of the shape, from 0.
        name: `rows` is the batch dimension.
        min, max: The bounds, both included, for which the exports were made and checked.
    """

    axis: int
    name: str
    min: int
    max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorEntry:
    """One input or output: a datatype of the Open Inference Protocol, and a shape with -1 where dynamic."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    dynamic: tuple[DynamicDim, ...]

    def as_spec(self) -> TensorSpec:
        """The same for the gateway and the servers, without the bounds."""
        return TensorSpec(self.name, self.datatype, self.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSignature:
    """The inputs and outputs of the one callable, in the order in which the exports take and return them."""

    name: str
    inputs: tuple[TensorEntry, ...]
    outputs: tuple[TensorEntry, ...]

    def as_signature(self) -> Signature:
        """The same for the gateway and the servers, without the bounds."""
        return Signature(
            name=self.name,
            inputs={entry.name: entry.as_spec() for entry in self.inputs},
            outputs={entry.name: entry.as_spec() for entry in self.outputs},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRecord:
    """What a file must be: lower-case hex sha256, and its size."""

    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One export of the weights.

    Attributes:
        platform: As the Open Inference Protocol names it, for example `pytorch_aotinductor`.
        framework_version: Of the framework that wrote it, local part included (`2.13.0+cpu`).
        entry: What a server opens, relative to the version directory (`.` for a SavedModel).
        device: Where it can run: `cpu`, `cuda`, or `any`.
        files: Every file of it, relative path to record.
        options: The export's settings that matter at serving time.
    """

    platform: str
    framework_version: str
    entry: str
    device: Literal["cpu", "cuda", "any"]
    files: Mapping[str, FileRecord]
    options: Mapping[str, str | int | float | bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataRecord:
    """The data behind the weights. `sha256` is over the arrays as they were used."""

    name: str
    source: str
    license: str
    sha256: str
    rows_train: int
    rows_test: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizerRecord:
    """The optimizer, with the epsilon that differs between frameworks' defaults."""

    name: str
    lr: float
    epsilon: float
    weight_decay: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRecord:
    """How the weights came to be. `optimizer` is None and `epochs` 0 for weights taken as published.

    Attributes:
        seed: Of initial weights, of the split of the data and of the order of the batches.
        loss_name: What was minimised; "" for weights taken as published.
        accuracy_name: What `accuracy` counts.
        loss, accuracy: Of each framework's export on the test set.
    """

    data: DataRecord
    seed: int
    optimizer: OptimizerRecord | None
    weight_init: str
    batch_size: int
    epochs: int
    loss_name: str
    loss: Mapping[str, float]
    accuracy_name: str
    accuracy: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParityCheck:
    """One comparison of both exports on the same rows.

    Attributes:
        name: `ten samples`, `test set` or `batches of N`.
        max_abs: The largest difference of any element of any output.
        max_ratio: The largest difference as a share of what the tolerance allows there; at most 1.
        decisions, same_decisions: How many decisions were compared, and how many were equal.
        min_cosine: The least cosine between the rows of both.
    """

    name: str
    rows: int
    max_abs: float
    max_ratio: float
    decisions: int
    same_decisions: int
    min_cosine: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ParityRecord:
    """What the gate held the exports to: |a - b| <= atol + rtol * |b|, and every decision the same."""

    atol: float
    rtol: float
    decision: str
    checks: tuple[ParityCheck, ...]
