"""Which batches are both exports asked, and how do those travel between the environments?

A check is one line of the parity record (`test set`); it is made of parts, one batch each. Arrays travel in
an `.npz` file whose keys are `<check>#<part>/<tensor>`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from gateway.tensors import Array
from model_store.definition import Definition
from model_store.held_out import HeldOut, Indices

__all__ = [
    "AGAIN",
    "EXAMPLE_ROWS",
    "SAMPLES",
    "TEST_SET",
    "Case",
    "Tensors",
    "dynamic_sizes",
    "make_cases",
]

Tensors: TypeAlias = Mapping[str, Array]

SAMPLES = "ten samples"
AGAIN = "ten samples again"
TEST_SET = "test set"
ERROR = "!error"

# torch.export specialises on examples of 0 and 1 row, and Inductor on fewer than 16; 32 is neither.
EXAMPLE_ROWS = 32

_BATCH_ROWS = (1, 2, 15, 16, 17)
_TEST_SET_ROWS = 32


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Case:
    """One batch: part number `part` of the check, the rows of the test set it holds, and its inputs."""

    check: str
    part: int
    rows: Indices
    inputs: Tensors

    @property
    def key(self) -> str:
        """The case's name in the files."""
        return f"{self.check}#{self.part}"


def make_cases(definition: Definition, held_out: HeldOut) -> tuple[Case, ...]:
    """Ten samples, the test set, awkward batch sizes, other dynamic sizes at their bounds, and more.

    The last are the ten samples again: an export in training mode may answer differently then.
    """
    samples = np.linspace(0, held_out.rows - 1, 10).astype(np.int64)
    checks: list[tuple[str, list[Indices], int | None]] = [
        (SAMPLES, [samples], None),
        (TEST_SET, held_out.batches(_TEST_SET_ROWS), None),
    ]
    sizes = dynamic_sizes(definition)
    short_first = np.concatenate(held_out.batches(held_out.rows))
    for count in (*_BATCH_ROWS, sizes["rows"][1]):
        rows = short_first[np.arange(count) % held_out.rows]
        checks.append((f"batches of {count}", [rows], None))
    for name, bounds in sizes.items():
        if name != "rows":
            checks += [(f"{name} of {size}", [samples[:2]], size) for size in bounds]
    checks.append((AGAIN, [samples], None))
    return tuple(
        Case(check=check, part=part, rows=rows, inputs=held_out.take(rows, length=length))
        for check, parts, length in checks
        for part, rows in enumerate(parts)
    )


def dynamic_sizes(definition: Definition) -> dict[str, tuple[int, int]]:
    """The bounds (min, max) of every dynamic dimension of the inputs, by name."""
    return {
        dim.name: (dim.min, dim.max)
        for entry in definition.signature.inputs
        for dim in entry.dynamic
    }


def save_tensors(path: Path, tensors: Mapping[str, Tensors]) -> None:
    """Write the tensors of each case."""
    flat = {
        f"{key}/{name}": array for key, group in tensors.items() for name, array in group.items()
    }
    np.savez(path, allow_pickle=False, **flat)


def load_tensors(path: Path) -> dict[str, dict[str, Array]]:
    """Read what `save_tensors` wrote, in its order."""
    groups: dict[str, dict[str, Array]] = {}
    with np.load(path, allow_pickle=False) as arrays:
        for flat in arrays.files:
            key, _, name = flat.rpartition("/")
            groups.setdefault(key, {})[name] = arrays[flat]
    return groups


def answer_all(source: Path, target: Path, answer: Callable[[Tensors], Tensors]) -> None:
    """Answer every case of the file `source` into the file `target`.

    A case that the runtime refuses becomes the text of its error, under the name `ERROR`: the gate reports
    it with the others.
    """
    answers: dict[str, Tensors] = {}
    for key, inputs in load_tensors(source).items():
        try:
            answers[key] = answer(inputs)
        except Exception as exc:  # noqa: BLE001  # whatever a runtime raises is what the gate must report
            answers[key] = {ERROR: np.array(f"{type(exc).__name__}: {exc}")}
    save_tensors(target, answers)


def inputs_of(cases: Sequence[Case]) -> dict[str, Tensors]:
    """What is sent to the environments."""
    return {case.key: case.inputs for case in cases}
