"""Which real rows can a model be asked about, what should it answer, and was the answer right?

`test_set.npz` in a version directory holds the test set with the answers expected of any runtime: those of
the definition itself, run eagerly in double precision and rounded to FP32. It needs numpy alone, so that
the demo and the load tests send real input without a framework.

    rows = HeldOut.load(version_dir / TEST_SET)
    for batch in rows.batches(max_rows=32):            # indices of rows that can share a request
        outputs = send(rows.take(batch))               # name -> [rows, …], as a client would send it
        right = rows.is_right(batch, outputs[rows.decision_output])
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from gateway.tensors import Array
from model_store.definition import Decision

__all__ = ["BUCKETS", "TEST_SET", "HeldOut", "Indices"]

TEST_SET = "test_set.npz"

# A ragged row is padded to the smallest of these lengths that holds it, as clients of a text model do.
BUCKETS = (16, 32, 64)

Indices: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeldOut:
    """A test set and the answers expected of it.

    Attributes:
        inputs: `[rows, …]` each; ragged inputs are padded with zeros at the end of axis 1.
        ragged: Names of the ragged inputs.
        lengths: int64 `[rows]`, the real length of each row of the ragged inputs; None without any.
        labels: int64 `[rows]`, indices into `label_names`.
        texts: What a person reads of each row; empty where there is nothing to read.
        expected: `[rows, …]` per output.
        decision, decision_output: What a caller does with which output, as in `Definition`.
    """

    inputs: Mapping[str, Array]
    labels: npt.NDArray[np.int64]
    label_names: tuple[str, ...]
    expected: Mapping[str, Array]
    decision: Decision
    decision_output: str
    ragged: tuple[str, ...] = ()
    lengths: npt.NDArray[np.int64] | None = None
    texts: tuple[str, ...] = field(default=())

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.labels)

    def bucket(self, index: int) -> int:
        """The length to which this row is padded when it is sent; 0 for a row that is not ragged."""
        if self.lengths is None:
            return 0
        length = int(self.lengths[index])
        return next((size for size in BUCKETS if size >= length), length)

    def take(
        self, indices: Sequence[int] | Indices, *, length: int | None = None
    ) -> dict[str, Array]:
        """The inputs of these rows; ragged ones end at the bucket of the longest row, or at `length`."""
        chosen = np.asarray(indices, dtype=np.int64)
        if length is None:
            length = max((self.bucket(int(index)) for index in chosen), default=0)
        return {
            name: np.ascontiguousarray(
                _fit(array[chosen], length) if name in self.ragged else array[chosen]
            )
            for name, array in self.inputs.items()
        }

    def batches(self, max_rows: int) -> list[Indices]:
        """Every row once, in batches of at most `max_rows` rows of one bucket, short ones first."""
        groups: dict[int, list[int]] = {}
        for index in range(self.rows):
            groups.setdefault(self.bucket(index), []).append(index)
        return [
            np.array(group[start : start + max_rows], dtype=np.int64)
            for _, group in sorted(groups.items())
            for start in range(0, len(group), max_rows)
        ]

    def decide(self, indices: Indices, output: Array) -> npt.NDArray[np.int64]:
        """The decisions, int64 `[rows]`, that a caller makes of `output` for these rows.

        `argmax` decides for a label. `nearest` decides for another row of the test set: the one whose
        expected vector has the largest dot product with the vector given.
        """
        scores = np.asarray(output, dtype=np.float64)
        if self.decision == "nearest":
            index = np.asarray(self.expected[self.decision_output], dtype=np.float64)
            scores = scores @ index.T
            scores[np.arange(len(indices)), indices] = -np.inf  # no row is its own neighbour
        return cast("npt.NDArray[np.int64]", np.argmax(scores, axis=1).astype(np.int64))

    def is_right(self, indices: Indices, output: Array) -> npt.NDArray[np.bool_]:
        """Whether each decision has the row's label, bool `[rows]`; its mean is the accuracy."""
        decisions = self.decide(indices, output)
        labels = self.labels[decisions] if self.decision == "nearest" else decisions
        return cast("npt.NDArray[np.bool_]", labels == self.labels[indices])

    def save(self, path: Path) -> None:
        """Write the file that `load` reads."""
        arrays: dict[str, npt.NDArray[np.generic]] = {
            "labels": self.labels,
            "label_names": np.array(self.label_names, dtype=np.str_),
            "texts": np.array(self.texts, dtype=np.str_),
            "ragged": np.array(self.ragged, dtype=np.str_),
            "decision": np.array([self.decision, self.decision_output], dtype=np.str_),
            **{f"input/{name}": array for name, array in self.inputs.items()},
            **{f"expected/{name}": array for name, array in self.expected.items()},
        }
        if self.lengths is not None:
            arrays["lengths"] = self.lengths
        np.savez_compressed(path, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a test set; OSError, KeyError or ValueError if it is not one."""
        with np.load(path, allow_pickle=False) as arrays:
            decision, output = arrays["decision"].tolist()
            return cls(
                inputs=_with_prefix(arrays, "input/"),
                labels=arrays["labels"],
                label_names=tuple(arrays["label_names"].tolist()),
                expected=_with_prefix(arrays, "expected/"),
                decision=decision,
                decision_output=output,
                ragged=tuple(arrays["ragged"].tolist()),
                lengths=arrays.get("lengths"),
                texts=tuple(arrays["texts"].tolist()),
            )


def _fit(array: Array, length: int) -> Array:
    if array.shape[1] >= length:
        return array[:, :length]
    padding = [(0, 0)] * array.ndim
    padding[1] = (0, length - array.shape[1])
    return np.pad(array, padding)


def _with_prefix(arrays: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    return {name.removeprefix(prefix): arrays[name] for name in arrays if name.startswith(prefix)}
