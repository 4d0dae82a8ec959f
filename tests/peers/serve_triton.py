"""The real Triton with Python models, in its own environment: `serve_triton.py HTTP GRPC METRICS`, three ports."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

from tests.peers.models import ECHOES, INPUTS, KINDS, MODELS, OUTPUTS, Function, load

MAX_ROWS = 8  # less than the gateway's batches, on purpose


def main() -> None:
    """Serve until told to stop."""
    http, grpc, metrics = map(int, sys.argv[1:])
    config = TritonConfig(
        http_address="127.0.0.1",
        http_port=http,
        grpc_address="127.0.0.1",
        grpc_port=grpc,
        metrics_port=metrics,
        exit_timeout_secs=5,
    )
    with Triton(config=config) as triton:
        for model in MODELS:
            whole = model == "whole"
            triton.bind(
                model_name=model,
                infer_func=_called(load(model)),
                inputs=_tensors(INPUTS[model], whole=whole),
                outputs=_tensors(OUTPUTS[model], whole=whole),
                config=ModelConfig(batching=not whole, max_batch_size=MAX_ROWS),
            )
        for model, shape in ECHOES.items():
            whole = model == "words"
            triton.bind(
                model_name=model,
                infer_func=_called(lambda inputs: {"y": inputs["x"]}),
                inputs=_tensors({"x": ("BYTES", shape)}, whole=whole),
                outputs=_tensors({"y": ("BYTES", shape)}, whole=whole),
                config=ModelConfig(batching=not whole, max_batch_size=MAX_ROWS),
            )
        triton.serve()


def _tensors(specs: Any, *, whole: bool) -> list[Tensor]:
    """Without dim 0, which Triton adds where it batches."""
    return [
        Tensor(name=name, dtype=_dtype(kind), shape=tuple(shape if whole else shape[1:]))
        for name, (kind, shape) in specs.items()
    ]


def _dtype(kind: str) -> type:
    return bytes if kind == "BYTES" else np.dtype(KINDS[kind]).type


def _called(function: Function) -> Callable[[Any], list[Any]]:
    def infer(requests: Any) -> list[Any]:
        return [dict(function(dict(request.items()))) for request in requests]

    return infer


if __name__ == "__main__":
    main()
