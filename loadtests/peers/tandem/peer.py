"""How is Tandem started and asked? The gateway and the torch server, as shipped; both count."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from loadtests.bench.processes import ROOT, free_port
from loadtests.peers.forms import TFS
from loadtests.peers.peer import Command, Peer, Settings, Start

__all__ = ["PEER", "SHIPPED", "gateway"]

SHIPPED: Settings = {
    "buckets": "16, 24, 32, 48, 64, 80, 96, 112, 128",
    "max_batch_rows": 32,
    "max_queued_rows": 512,
}
"""What the shipped tandem.toml says of minilm; of iris it says the defaults."""

_CONFIG = """
[listen]
rest = "127.0.0.1:{rest}"
grpc = "127.0.0.1:{grpc}"
admin = "127.0.0.1:{admin}"
[backends.served]
{backend}
[models.{model}.arms.served]
backend = "served"
[models.{model}.batching]
{batching}
"""
_SEQUENCE = """
[models.minilm.sequence]
buckets = [{buckets}]
min_length = 2
[models.minilm.sequence.inputs.input_ids]
[models.minilm.sequence.inputs.attention_mask]
"""


def gateway(start: Start, backend: str) -> Command:
    """A gateway in front of one backend, of which the lines of configuration are given.

    The settings are its batching's, but `buckets`, the bounds of lengths that share batches.
    """
    settings = dict(start.settings)
    buckets = settings.pop("buckets", None)
    batching = "\n".join(f"{name} = {json.dumps(value)}" for name, value in settings.items())
    config = start.scratch / "tandem.toml"
    config.write_text(
        _CONFIG.format(
            model=start.model,
            rest=start.port,
            grpc=free_port(),
            admin=free_port(),
            backend=backend,
            batching=batching,
        )
        + ("" if buckets is None else _SEQUENCE.format(buckets=buckets))
    )
    return Command([ROOT / ".venv" / "bin" / "tandem", "serve", config])


def _commands(start: Start) -> Sequence[Command]:
    path = start.scratch / "torch.sock"
    torch: list[str | Path] = [
        ROOT / ".venv-torch" / "bin" / "python",
        "-m",
        "serving.torch_server",
    ]
    torch += ["--model-store", ROOT / "model_store", "--models", start.model, "--unix", path]
    torch += ["--rest", f"127.0.0.1:{free_port()}", "--grpc", f"127.0.0.1:{free_port()}"]
    # As the shipped tandem.toml asks it.
    backend = f'kind = "oip"\nprotocol = "rest"\naddress = "unix:{path}"'
    return [Command(torch), gateway(start, backend)]


PEER = Peer(
    name="tandem",
    title="Tandem",
    version=("tandem-gateway", ".venv"),
    form=TFS,
    path="/v1/models/{model}:predict",
    settings={
        "recommended": {"iris": {}, "minilm": SHIPPED},
        "tuned": {
            "iris": {
                "min_in_flight": 2,
                "max_in_flight": 2,
                "max_batch_rows": 32,
                "max_delay_ms": 1,
            },
            "minilm": {"buckets": "16, 32, 48, 64, 80, 96, 112, 128", "max_batch_rows": 8},
        },
    },
    commands=_commands,
)
