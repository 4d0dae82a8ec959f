"""The stack that is measured: the gateway on one core, its backend on the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from loadtests.bench.processes import ROOT, Running, free_port, running, wait_for_http

__all__ = ["BACKEND_CORE", "GATEWAY_CORE", "Stack", "stack"]

GATEWAY_CORE, BACKEND_CORE = 0, 1

CONFIG = """
[listen]
rest = "127.0.0.1:{rest}"
grpc = "127.0.0.1:{grpc}"
admin = "127.0.0.1:{admin}"
[backends.torch]
kind = "oip"
protocol = "rest"
address = "unix:{socket}"
[models.iris]
batching = {{ min_in_flight = 2, max_in_flight = 2 }}
[models.iris.arms.torch]
backend = "torch"
[models.patient]
batching = {{ min_in_flight = 2, max_in_flight = 2, max_batch_rows = 32, max_delay_ms = 1 }}
[models.patient.arms.torch]
backend = "torch"
model = "iris"
[models.untuned.arms.torch]
backend = "torch"
model = "iris"
[models.minilm]
batching = {{ max_batch_rows = 32 }}
[models.minilm.arms.torch]
backend = "torch"
"""


@dataclass(frozen=True, slots=True)
class Stack:
    """Where everything listens, as `host:port`."""

    gateway: Running
    rest: str
    grpc: str
    backend_grpc: str
    backend_rest: str


@contextmanager
def stack(scratch: Path) -> Iterator[Stack]:
    """The torch server with iris and minilm, and a gateway in front of it."""
    ports = {name: free_port() for name in ("rest", "grpc", "admin", "backend", "backend_rest")}
    config = scratch / "tandem.toml"
    path = scratch / "torch.sock"
    config.write_text(CONFIG.format(**ports, socket=path))
    backend: list[str | Path] = [
        ROOT / ".venv-torch/bin/python", "-m", "serving.torch_server",
        "--model-store", ROOT / "model_store", "--models", "iris,minilm", "--threads", "1",
        "--rest", f"127.0.0.1:{ports['backend_rest']}", "--grpc", f"127.0.0.1:{ports['backend']}",
        "--unix", path,
    ]  # fmt: skip
    gateway: list[str | Path] = [ROOT / ".venv/bin/tandem", "serve", config]
    with (
        running("torch", backend, core=BACKEND_CORE, logs=scratch) as served,
        running("gateway", gateway, core=GATEWAY_CORE, logs=scratch) as gate,
    ):
        wait_for_http(f"http://127.0.0.1:{ports['backend_rest']}/v2/health/ready", served)
        wait_for_http(f"http://127.0.0.1:{ports['admin']}/readyz?complete=true", gate)
        yield Stack(
            gateway=gate,
            rest=f"127.0.0.1:{ports['rest']}",
            grpc=f"127.0.0.1:{ports['grpc']}",
            backend_grpc=f"127.0.0.1:{ports['backend']}",
            backend_rest=f"127.0.0.1:{ports['backend_rest']}",
        )
