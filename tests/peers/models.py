"""What do the peers serve? Runs inside their environments: numpy, and torch for `iris`.

iris    the repository's own AOTInductor package of model iris: x FP32 [rows, 4] -> logits [rows, 3]
kinds   an echo of one tensor [rows, 2] of every datatype in `KINDS`, `int8` -> `int8_out` and so on
whole   x FP32 [n] -> sums FP32 [n], running sums: a dynamic dim that is not rows
picky   x FP32 [rows, 1] -> y, the same; fails where a number is negative

and Triton also echoes of nothing but strings, for its forms of them:

text    x BYTES [rows, 1] -> y, the same
words   x BYTES [n] -> y, the same
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.generic]
Function = Callable[[Mapping[str, Array]], Mapping[str, Array]]

ROOT = Path(__file__).resolve().parent.parent.parent
IRIS = ROOT / "model_store" / "iris" / "1" / "model.pt2"

KINDS: Mapping[str, str] = {
    "BOOL": "?",
    "INT8": "i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "UINT8": "u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}

INPUTS: Mapping[str, Mapping[str, tuple[str, list[int]]]] = {
    "iris": {"x": ("FP32", [-1, 4])},
    "kinds": {kind.lower(): (kind, [-1, 2]) for kind in (*KINDS, "BYTES")},
    "whole": {"x": ("FP32", [-1])},
    "picky": {"x": ("FP32", [-1, 1])},
}
OUTPUTS: Mapping[str, Mapping[str, tuple[str, list[int]]]] = {
    "iris": {"logits": ("FP32", [-1, 3])},
    "kinds": {f"{kind.lower()}_out": (kind, [-1, 2]) for kind in (*KINDS, "BYTES")},
    "whole": {"sums": ("FP32", [-1])},
    "picky": {"y": ("FP32", [-1, 1])},
}
MODELS = tuple(INPUTS)
ECHOES: Mapping[str, list[int]] = {"text": [-1, 1], "words": [-1]}


def load(model: str) -> Function:
    """The function of a model."""
    functions: Mapping[str, Callable[[], Function]] = {
        "iris": _load_iris,
        "kinds": lambda: _kinds,
        "whole": lambda: _whole,
        "picky": lambda: _picky,
    }
    return functions[model]()


def _load_iris() -> Function:
    import torch  # noqa: PLC0415 - the other models need none

    torch.set_num_threads(1)
    run = torch._inductor.aoti_load_package(str(IRIS))

    def iris(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        rows = torch.from_numpy(np.array(inputs["x"], np.float32, order="C"))
        with torch.inference_mode():  # per thread, so not once at the top
            return {"logits": run(rows).numpy()}

    return iris


def _kinds(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
    return {f"{name}_out": array for name, array in inputs.items()}


def _whole(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
    return {"sums": np.cumsum(inputs["x"]).astype(np.float32)}


def _picky(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
    if float(np.min(inputs["x"])) < 0:
        raise ValueError("the model takes no negative numbers")
    return {"y": inputs["x"]}
