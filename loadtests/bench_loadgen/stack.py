"""The gateway with both runtimes behind it, as `tandem up` starts them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loadtests.bench.processes import ROOT, free_port, running, wait_for_http

__all__ = ["stack"]

_CONFIG = """
[listen]
rest = "127.0.0.1:{rest}"
grpc = "127.0.0.1:{grpc}"
admin = "127.0.0.1:{admin}"
[backends.torch]
kind = "oip"
address = "127.0.0.1:{torch}"
[backends.tf]
kind = "tfserving"
address = "127.0.0.1:{tf}"
[models.iris.batching]
max_in_flight = 2
[models.iris.arms.torch]
backend = "torch"
[models.iris.arms.tf]
backend = "tf"
[models.minilm.batching]
max_batch_rows = 16
[models.minilm.arms.torch]
backend = "torch"
[models.minilm.arms.tf]
backend = "tf"
"""


@contextmanager
def stack(scratch: Path) -> Iterator[str]:
    """Everything, until the block ends; gives the address of REST."""
    ports = {name: free_port() for name in ("rest", "grpc", "admin", "torch", "tf")}
    config = scratch / "tandem.toml"
    config.write_text(_CONFIG.format(**ports))
    up: list[str | Path] = [ROOT / ".venv/bin/tandem", "up", "--config", config]
    # TensorFlow would take every core for one batch, and PyTorch has one.
    threads = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", **os.environ}
    with running("stack", up, core=None, logs=scratch, environment=threads) as served:
        wait_for_http(f"http://127.0.0.1:{ports['admin']}/readyz?complete=true", served)
        yield f"127.0.0.1:{ports['rest']}"
