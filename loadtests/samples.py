"""Which real rows can be sent, and what is expected of them? The test set that each built version carries."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from gateway.tensors import Array
from loadtests.answers import Tolerance
from model_store.held_out import TEST_SET, HeldOut, Indices
from model_store.manifest import Manifest, ManifestError, versions

__all__ = ["NoTestSet", "Subject"]

# Most callers have one row; some have a few.
_ROWS = (1, 1, 1, 2, 4)


class NoTestSet(Exception):
    """The store has no usable test set of this model."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Subject:
    """A model under load: its test set, and how near to the expected an answer must be."""

    model: str
    held_out: HeldOut
    tolerance: Tolerance

    @classmethod
    def load(cls, store: Path, model: str) -> Self:
        """Read the newest version, the one that an arm serves unless it is pinned to another.

        Raises:
            NoTestSet: nothing is built, or what is there is damaged.
        """
        built = versions(store, model)
        if not built:
            raise NoTestSet(f"{store / model}: no version is built; run `make store`")
        folder = store / model / str(built[-1])
        try:
            parity = Manifest.load(folder).parity
            held_out = HeldOut.load(folder / TEST_SET)
        except (ManifestError, OSError, KeyError, ValueError) as exc:
            raise NoTestSet(f"{folder}: no usable test set: {exc}") from exc
        return cls(
            model=model,
            held_out=held_out,
            tolerance=Tolerance(atol=parity.atol, rtol=parity.rtol),
        )

    @property
    def outputs(self) -> Mapping[str, np.dtype[np.generic]]:
        """The model's outputs, name to dtype."""
        return {name: array.dtype for name, array in self.held_out.expected.items()}

    def expected(self, rows: Indices) -> Mapping[str, Array]:
        """What must be answered for these rows, `[rows, …]` per output."""
        return {name: array[rows] for name, array in self.held_out.expected.items()}

    def groups(self, rng: random.Random) -> list[Indices]:
        """Every row once, in the groups in which they are sent: no row is padded for another."""
        found: list[Indices] = []
        for bucket in self.held_out.batches(self.held_out.rows):
            rows = bucket.tolist()
            rng.shuffle(rows)
            while rows:
                size = rng.choice(_ROWS)
                found.append(np.array(rows[:size], dtype=np.int64))
                del rows[:size]
        rng.shuffle(found)
        return found
