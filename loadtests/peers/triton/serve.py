"""Triton with one Python model: `serve.py MODEL PORT GRPC METRICS SETTINGS`, three ports and JSON."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

from loadtests.peers.served import INPUTS, OUTPUTS, WIDTHS, load


def main() -> None:
    """Serve until told to stop."""
    model, settings = sys.argv[1], json.loads(sys.argv[5])
    http, grpc, metrics = map(int, sys.argv[2:5])
    config = TritonConfig(
        http_address="127.0.0.1",
        http_port=http,
        grpc_address="127.0.0.1",
        grpc_port=grpc,
        metrics_port=metrics,
        exit_timeout_secs=5,
    )
    delay = DynamicBatcher(max_queue_delay_microseconds=settings["max_queue_delay_us"])
    run = load(model)

    @batch  # type: ignore[untyped-decorator]  # not in the gateway's environment, where mypy runs
    def infer(**inputs: Any) -> dict[str, Any]:
        return {OUTPUTS[model]: run(inputs)}

    with Triton(config=config) as triton:
        triton.bind(
            model_name=model,
            infer_func=infer,
            inputs=[
                Tensor(name=name, dtype=kind, shape=(4,) if model == "iris" else (-1,))
                for name, kind in INPUTS[model].items()
            ],
            outputs=[Tensor(name=OUTPUTS[model], dtype=np.float32, shape=(WIDTHS[model],))],
            config=ModelConfig(max_batch_size=settings["max_batch_size"], batcher=delay),
        )
        triton.serve()


if __name__ == "__main__":
    main()
