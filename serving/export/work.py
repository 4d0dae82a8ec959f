"""Where do the steps of one build leave things for each other?

<work>/weights.npz           torch's parameters and buffers by name
<work>/data.json             the DataRecord
<work>/torch.json            the Artifact, without its files; likewise tensorflow.json
<work>/cases.npz             inputs by case
<work>/torch-outputs.npz     outputs by case; likewise tensorflow
<work>/torch-layers.npz      outputs of each layer, if the gate failed; likewise tensorflow
<work>/version/              what becomes the version directory
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from model_store.decode import decode, encode
from model_store.held_out import TEST_SET
from model_store.records import Framework

__all__ = ["Work"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Work:
    """The folder of one build of one model."""

    root: Path

    @property
    def version(self) -> Path:
        """The future version directory."""
        return self.root / "version"

    @property
    def model_pt2(self) -> Path:
        """The AOTInductor package in it."""
        return self.version / "model.pt2"

    @property
    def test_set(self) -> Path:
        """The test set in it."""
        return self.version / TEST_SET

    @property
    def weights(self) -> Path:
        """Torch's weights."""
        return self.root / "weights.npz"

    @property
    def data(self) -> Path:
        """The record of the data."""
        return self.root / "data.json"

    @property
    def cases(self) -> Path:
        """The inputs of the gate."""
        return self.root / "cases.npz"

    def artifact(self, framework: Framework) -> Path:
        """The record of an export."""
        return self.root / f"{framework}.json"

    def outputs(self, framework: Framework) -> Path:
        """What an export answered."""
        return self.root / f"{framework}-outputs.npz"

    def layers(self, framework: Framework) -> Path:
        """What each layer of a definition gave for the ten samples."""
        return self.root / f"{framework}-layers.npz"

    def log(self, step: str) -> Path:
        """Everything that a step printed."""
        return self.root / f"{step}.log"


def write_record(path: Path, record: object) -> None:
    """Write a dataclass of `model_store.records` for the next step."""
    path.write_text(json.dumps(encode(record)), encoding="utf-8")


def read_record(kind: type[T], path: Path) -> T:
    """Read what `write_record` wrote."""
    return decode(kind, json.loads(path.read_text(encoding="utf-8")))
