"""What do the peers serve? The store's own AOTInductor packages, on one thread. Runs inside their environments.

A row is what one caller sends, name to value: `{"x": [5.1, 3.5, 1.4, 0.2]}` for iris, and for minilm
`{"input_ids": [101, …, 102], "attention_mask": [1, …, 1]}`, as long as its sentence. Rows of one batch are
padded to the longest of them with zeros, as every text service has to; the mask keeps the answers the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = [
    "INPUTS",
    "OUTPUTS",
    "WIDTHS",
    "Array",
    "Row",
    "Run",
    "batch_of",
    "length_of",
    "load",
    "rows_of",
]

Array: TypeAlias = npt.NDArray[np.generic]
Row: TypeAlias = Mapping[str, Sequence[float]]
Run: TypeAlias = Callable[[Mapping[str, Array]], Array]

STORE = Path(__file__).resolve().parent.parent.parent / "model_store"
INPUTS: Mapping[str, Mapping[str, type[np.generic]]] = {
    "iris": {"x": np.float32},
    "minilm": {"input_ids": np.int64, "attention_mask": np.int64},
}
OUTPUTS: Mapping[str, str] = {"iris": "logits", "minilm": "embedding"}
WIDTHS: Mapping[str, int] = {"iris": 3, "minilm": 384}


def load(model: str) -> Run:
    """The package of version 1 as a function: arrays `[rows, …]` by name to the one output, `[rows, width]`."""
    import torch  # noqa: PLC0415 - some that import this module only read the tables above

    torch.set_num_threads(1)
    package: Any = torch._inductor.aoti_load_package(  # noqa: SLF001  # where torch has it
        str(STORE / model / "1" / "model.pt2")
    )

    def run(inputs: Mapping[str, Array]) -> Array:
        tensors = [
            torch.from_numpy(np.ascontiguousarray(inputs[name], kind))
            for name, kind in INPUTS[model].items()
        ]
        with torch.inference_mode():  # per thread, so not once at the top
            output: Array = package(*tensors).numpy()
        return output

    return run


def rows_of(model: str) -> Callable[[Sequence[Row]], list[list[float]]]:
    """The model as a function of rows, for servers that hand over what their callers sent."""
    run = load(model)

    def answer(rows: Sequence[Row]) -> list[list[float]]:
        found: list[list[float]] = run(batch_of(model, rows)).tolist()
        return found

    return answer


def batch_of(model: str, rows: Sequence[Row]) -> Mapping[str, Array]:
    """Arrays `[rows, …]` by name, shorter rows padded with zeros at their end."""
    width = max(map(length_of, rows))
    return {
        name: np.array([[*row[name], *[0] * (width - length_of(row))] for row in rows], kind)
        for name, kind in INPUTS[model].items()
    }


def length_of(row: Row) -> int:
    """How many numbers each input of a row has."""
    return len(next(iter(row.values())))
