"""Does an input of a shape that was not declared end TensorFlow's process? The half that may die.

    .venv-tf/bin/python -m tests.serving.tf_serving.misfits FOLDER [--declared-ranks] [--only SIGNATURE]
        [--behind N] [--dead SIGNATURE:RANKS]...

Serves the SavedModel in FOLDER (made, if it is not there) as the stand-in does, and feeds every signature
the shapes below, all inputs alike and each alone. Says on standard output what it is about to do (`try N
SIGNATURE:RANKS SHAPES`), then `answered` or what was refused, in the end `finished`: if the process dies, its
last line tells of what. It is then started again behind that call, without what is like it.

What a whole run found (TensorFlow 2.21, CPU, 16,628 calls to 181 signatures; 9,853 refused):

    another size, but the declared rank    nobody dies
    another rank                           an embedding, then a convolution: rank 1 (a failed CHECK), rank 3 (SIGSEGV)
                                           a convolution over `expand_dims` of the input: rank 0 or 1 (failed CHECKs)
                                           LSTMBlockCell: rank 0 or 1 (a failed CHECK)
"""

from __future__ import annotations

import argparse
import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from gateway.codecs import tfs_proto
from gateway.errors import GatewayError
from gateway.messages import InferRequest
from gateway.tensors import DTYPES, Array, Datatype, Tensor, TensorSpec
from serving.tf_serving.servable import SavedModel, load
from serving.tf_serving.served import Failed
from serving.tf_serving.settings import Threading
from tests.serving.tf_serving.misfit_graphs import write
from tests.serving.tf_serving.misfit_matrices import WIDTH

SHAPES: tuple[tuple[int, ...], ...] = (
    *((), (0,), (1,), (3,), (4,), (5,)),
    *((0, 0), (1, 0), (0, 4), (0, 5), (1, 1), (1, 3), (2, 4), (2, 5), (4, 1), (3, 2)),
    *((0, 4, 4), (1, 0, 4), (1, 1, 4), (2, 3, 4), (2, 4, 3), (1, 4, 0)),
    *((1, 1, 1, 4), (2, 3, 4, 5), (0, 1, 1, 4), (1, 2, 0, 4)),
    *((1, 1, 1, 1, 4), (2, 1, 2, 1, 4), (0, 0, 0, 0, 0)),
    *((*(1,) * rank, WIDTH) for rank in (5, 6, 7, 8, 9, 15, 31)),
)
NUMBERS = (1, 0, -1, 2**31 - 1)
TEXTS = (b"a", b"")


def main() -> None:
    """Feed everything, from the call behind the given one on."""
    parser = argparse.ArgumentParser(prog="python -m tests.serving.tf_serving.misfits")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--behind", type=int, default=-1)
    parser.add_argument("--dead", action="append", default=[])
    parser.add_argument("--only", help="a signature")
    parser.add_argument("--declared-ranks", action="store_true")
    arguments = parser.parse_args()
    if not arguments.folder.exists():
        write(arguments.folder)
    model = load("misfits", 1, arguments.folder, Threading(intra_op_threads=1))
    calls = _calls(model, arguments.only, is_any_rank=not arguments.declared_ranks)
    for number, (name, inputs) in enumerate(calls):
        kind = f"{name}:{','.join(str(tensor.array.ndim) for tensor in inputs)}"
        if number > arguments.behind and kind not in arguments.dead:
            shapes = [list(tensor.shape) for tensor in inputs]
            print("try", number, kind, shapes, flush=True)  # noqa: T201
            print(_outcome(model, name, inputs), flush=True)  # noqa: T201
    print("finished", flush=True)  # noqa: T201


def _outcome(model: SavedModel, signature: str, inputs: tuple[Tensor, ...]) -> str:
    request = InferRequest(model="misfits", signature=signature, inputs=inputs)
    try:
        model.predict(request)
    except (Failed, GatewayError) as error:
        return " ".join(f"refused {error}".split())[:200]
    return "answered"


def _calls(
    model: SavedModel, only: str | None, *, is_any_rank: bool
) -> Iterator[tuple[str, tuple[Tensor, ...]]]:
    signatures = tfs_proto.decode_metadata(model.metadata).signatures
    for name, signature in sorted(signatures.items()):
        specs = list(signature.inputs.values())
        if not specs or only not in (None, name):
            continue
        ranks = {len(spec.shape or ()) for spec in specs}
        for shape, value in itertools.product(SHAPES, _values(specs[0].datatype)):
            if is_any_rank or {len(shape)} == ranks:
                yield from ((name, inputs) for inputs in _misfits(specs, shape, value))


def _misfits(
    specs: Sequence[TensorSpec], shape: tuple[int, ...], value: Any
) -> Iterator[tuple[Tensor, ...]]:
    good = [_filled(spec, _good(spec.shape), value) for spec in specs]
    bad = [_filled(spec, shape, value) for spec in specs]
    yield tuple(bad)
    if len(specs) > 1:
        for at in range(len(specs)):
            yield (*good[:at], bad[at], *good[at + 1 :])


def _values(datatype: Datatype) -> tuple[Any, ...]:
    if datatype == "BYTES":
        return TEXTS
    return NUMBERS if datatype.startswith("INT") else (1.0, float("nan"))


def _good(shape: tuple[int, ...] | None) -> tuple[int, ...]:
    return tuple(2 if dim == -1 else dim for dim in shape or ())


def _filled(spec: TensorSpec, shape: tuple[int, ...], value: Any) -> Tensor:
    array: Array = np.empty(shape, DTYPES[spec.datatype])
    array[...] = value
    return Tensor(spec.name, spec.datatype, array)


if __name__ == "__main__":
    main()
