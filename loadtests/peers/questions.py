"""Which rows are sent, and what must be answered? The store's test sets, and for minilm also longer ones.

The store's sentences have 8 to 64 tokens. For 65 to 128, several are joined and cut; what is expected of
those is what the package says of each alone (`offline.py`, which first holds the package to the store's).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gateway.tensors import Array
from loadtests.answers import Tolerance
from loadtests.peers.forms import Row
from loadtests.peers.peer import Model
from loadtests.samples import Subject

__all__ = ["Questions", "padded", "questions"]

LENGTHS = (8, 128)
SENTENCES = 48


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Questions:
    """Rows in the order in which they are sent.

    Attributes:
        expected: float32 `[rows, width]`; NaN where the store does not say.
    """

    rows: Sequence[Row]
    expected: Array
    tolerance: Tolerance

    @property
    def complete(self) -> bool:
        """Whether an answer is known of every row."""
        return not np.isnan(self.expected).any()

    def with_expected(self, expected: Array) -> Questions:
        """The same rows with all answers."""
        return replace(self, expected=expected)


def questions(store: Path, model: Model) -> Questions:
    """The rows of a model, in an order that mixes lengths; the same in every run.

    Raises:
        NoTestSet: the model is not built.
    """
    subject = Subject.load(store, model)
    return _sentences(subject) if model == "minilm" else _flowers(subject)


def padded(row: Row, multiple: int) -> Row:
    """The row with zeros after its end, up to the next multiple; the mask keeps its answer the same."""
    length = len(next(iter(row.values())))
    zeros = [0] * (-length % multiple)
    return {name: [*values, *zeros] for name, values in row.items()}


def _flowers(subject: Subject) -> Questions:
    held_out = subject.held_out
    (expected,) = held_out.expected.values()
    rows = [{"x": [float(f"{value:.7g}") for value in x]} for x in held_out.inputs["x"].tolist()]
    return Questions(rows=rows, expected=expected, tolerance=subject.tolerance)


def _sentences(subject: Subject) -> Questions:
    lengths = subject.held_out.lengths
    assert lengths is not None
    (expected,) = subject.held_out.expected.values()
    by_length = np.argsort(lengths, kind="stable")
    longest = int(lengths.max())
    unknown = np.full(expected.shape[1], np.nan, np.float32)
    rows, answers = [], []
    wanted = np.linspace(*LENGTHS, SENTENCES).astype(int)
    for length in np.random.default_rng(0).permutation(wanted).tolist():
        if length > longest:
            ids = _joined([_ids(subject, int(index)) for index in by_length[-3:]], length)
            answers.append(unknown)
        else:
            index = int(by_length[np.searchsorted(lengths[by_length], length)])
            ids = _ids(subject, index)
            answers.append(expected[index])
        rows.append({"input_ids": ids, "attention_mask": [1] * len(ids)})
    return Questions(rows=rows, expected=np.array(answers), tolerance=subject.tolerance)


def _joined(sentences: Sequence[Sequence[int]], length: int) -> list[int]:
    """One sentence of `length` tokens: a start, what is between the ends of each, cut, and an end."""
    words = [token for ids in sentences for token in ids[1:-1]]
    return [sentences[0][0], *words[: length - 2], sentences[0][-1]]


def _ids(subject: Subject, index: int) -> list[int]:
    lengths = subject.held_out.lengths
    assert lengths is not None
    found: list[int] = subject.held_out.inputs["input_ids"][index, : int(lengths[index])].tolist()
    return found
