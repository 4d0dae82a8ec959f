"""How is MLServer started and asked?"""

from __future__ import annotations

import json
from collections.abc import Sequence

from loadtests.bench.processes import ROOT, free_port
from loadtests.peers.forms import OIP
from loadtests.peers.peer import Command, Peer, Start

__all__ = ["PEER"]

ENVIRONMENT = ".venv-peer-mlserver"


def _commands(start: Start) -> Sequence[Command]:
    settings = {
        "host": "127.0.0.1",
        "http_port": start.port,
        "grpc_port": free_port(),
        "metrics_port": free_port(),
        "parallel_workers": 0,  # its own do not start with uvloop 0.23; ours is one process anyway
        "debug": False,
    }
    model = {
        "name": start.model,
        "implementation": "loadtests.peers.mlserver.serve.Served",
        "max_batch_size": start.settings["max_batch_size"],
        "max_batch_time": start.settings["max_batch_time_s"],
    }
    (start.scratch / start.model).mkdir(exist_ok=True)
    (start.scratch / "settings.json").write_text(json.dumps(settings))
    (start.scratch / start.model / "model-settings.json").write_text(json.dumps(model))
    mlserver = ROOT / ENVIRONMENT / "bin" / "mlserver"
    return [Command([mlserver, "start", start.scratch])]


# MLServer joins whatever waits, and takes the first request's length for all: every request of a batch of mixed
# lengths fails. So a client has to pad every row to the longest there is, or batching has to be off.
PEER = Peer(
    name="mlserver",
    title="MLServer",
    version=("mlserver", ENVIRONMENT),
    form=OIP,
    path="/v2/models/{model}/infer",
    settings={
        "recommended": {
            "iris": {"max_batch_size": 32, "max_batch_time_s": 0.002},
            "minilm": {
                "max_batch_size": 32,
                "max_batch_time_s": 0.01,
                "client_pads_to": 128,
            },
        },
        "tuned": {
            "iris": {"max_batch_size": 64, "max_batch_time_s": 0.002},
            "minilm": {"max_batch_size": 0, "max_batch_time_s": 0.0},
        },
    },
    commands=_commands,
)
