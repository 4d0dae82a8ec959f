"""The stack whose latencies are predicted: a gateway with default limits but for the rows of a batch."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from loadtests.bench.processes import ROOT, free_port, running, wait_for_http
from loadtests.bench.stack import BACKEND_CORE, GATEWAY_CORE
from loadtests.bench_plan.asked import Asked

__all__ = ["Pace", "stack"]

_CONFIG = """
[listen]
rest = "127.0.0.1:{rest}"
grpc = "127.0.0.1:{grpc}"
admin = "127.0.0.1:{admin}"
[backends.one]
kind = "oip"
address = "127.0.0.1:{backend}"
[models.{model}]
batching = {{ max_batch_rows = {max_batch_rows} }}
[models.{model}.arms.one]
backend = "one"
"""


@dataclass(frozen=True, slots=True)
class Pace:
    """How long the paced backend takes for a batch: so much, and so much more for each row."""

    fixed_ms: float
    row_ms: float


@contextmanager
def stack(asked: Asked, max_batch_rows: int, pace: Pace, *, scratch: Path) -> Iterator[str]:
    """A gateway on one core and its backend on the other; gives the gateway's REST address."""
    ports = {name: free_port() for name in ("rest", "grpc", "admin", "backend", "health")}
    config = scratch / "tandem.toml"
    config.write_text(_CONFIG.format(**ports, model=asked.model, max_batch_rows=max_batch_rows))
    backend = _torch(asked.model, ports) if asked.is_torch else _paced(pace, ports)
    gateway: list[str | Path] = [sys.executable, "-m", "gateway", "serve", config]
    with (
        running("backend", backend, core=BACKEND_CORE, logs=scratch) as served,
        running("gateway", gateway, core=GATEWAY_CORE, logs=scratch) as gate,
    ):
        if asked.is_torch:
            wait_for_http(f"http://127.0.0.1:{ports['health']}/v2/health/ready", served)
        wait_for_http(f"http://127.0.0.1:{ports['admin']}/readyz?complete=true", gate)
        yield f"127.0.0.1:{ports['rest']}"


def _paced(pace: Pace, ports: dict[str, int]) -> list[str | Path]:
    module = "loadtests.bench_plan.backend"
    times = [f"{pace.fixed_ms:g}", f"{pace.row_ms:g}"]
    return [sys.executable, "-m", module, str(ports["backend"]), *times]


def _torch(model: str, ports: dict[str, int]) -> list[str | Path]:
    return [
        ROOT / ".venv-torch/bin/python", "-m", "serving.torch_server",
        "--model-store", ROOT / "model_store", "--models", model, "--threads", "1",
        "--rest", f"127.0.0.1:{ports['health']}", "--grpc", f"127.0.0.1:{ports['backend']}",
    ]  # fmt: skip
