"""Which packages do the torch server's tests serve, and what would eager PyTorch answer?

Run in the torch environment, as `python -m tests.serving.torch_server.build_packages FOLDER`: it writes
`NAME.pt2`, and `NAME.npz` with inputs and expected outputs for each number of rows that is tested.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch._inductor import aoti_compile_and_package
from torch.export import Dim

from gateway.tensors import Array
from tests.serving.torch_server.sizes import LENGTH, ROWS

_OPTIONS = {"aot_inductor.check_lowerbound": False, "cpp.simdlen": 256}


def _mlp(seed: int) -> torch.nn.Module:
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))


class _Pair(torch.nn.Module):  # type: ignore[misc]  # torch is in another environment
    def forward(
        self, ids: torch.Tensor, weights: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return (ids * weights).sum(dim=1), ids * 2


def _mlp_inputs(rows: int) -> Mapping[str, torch.Tensor]:
    return {"x": torch.randn(rows, 4)}


def _pair_inputs(rows: int) -> Mapping[str, torch.Tensor]:
    return {"ids": torch.randint(-9, 9, (rows, LENGTH)), "weights": torch.randn(rows, LENGTH)}


def main(folder: Path) -> None:
    """Build every package."""
    rows = Dim("rows", min=1, max=max(ROWS))
    length = Dim("length", min=1, max=32)
    batch_only, both = ({0: rows},), ({0: rows, 1: length}, {0: rows, 1: length})
    for name, model, inputs, dynamic in (
        ("mlp-1", _mlp(1), _mlp_inputs, batch_only),
        ("mlp-2", _mlp(2), _mlp_inputs, batch_only),
        ("pair", _Pair(), _pair_inputs, both),
    ):
        model.eval()
        with torch.no_grad():
            example = tuple(inputs(32).values())
            program = torch.export.export(model, example, dynamic_shapes=dynamic)
            aoti_compile_and_package(
                program, package_path=str(folder / f"{name}.pt2"), inductor_configs=_OPTIONS
            )
            cases: dict[str, Array] = {}
            for count in ROWS:
                given = inputs(count)
                answer = model(*given.values())
                answers = answer if isinstance(answer, tuple) else (answer,)
                cases |= {f"{count}/in/{key}": value.numpy() for key, value in given.items()}
                cases |= {f"{count}/out/{i}": value.numpy() for i, value in enumerate(answers)}
        np.savez(folder / f"{name}.npz", allow_pickle=False, **cases)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
