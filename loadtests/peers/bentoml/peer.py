"""How is BentoML started and asked?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from loadtests.bench.processes import ROOT
from loadtests.peers.forms import ROWS
from loadtests.peers.peer import Command, Peer, Start

__all__ = ["PEER"]

ENVIRONMENT = ".venv-peer-bentoml"


def _commands(start: Start) -> Sequence[Command]:
    bentoml = ROOT / ENVIRONMENT / "bin" / "bentoml"
    argv: list[str | Path] = [bentoml, "serve", "loadtests.peers.bentoml.serve:Served"]
    argv += ["--host", "127.0.0.1", "--port", str(start.port), "--working-dir", ROOT]
    environment = {
        "PEER_MODEL": start.model,
        "PEER_SETTINGS": json.dumps(dict(start.settings)),
        "BENTOML_HOME": str(start.scratch),
        "BENTOML_DO_NOT_TRACK": "True",
    }
    return [Command(argv, environment)]


PEER = Peer(
    name="bentoml",
    title="BentoML",
    version=("bentoml", ENVIRONMENT),
    form=ROWS,
    path="/predict",
    settings={
        "recommended": {
            "iris": {"max_batch_size": 100, "max_latency_ms": 60000},
            "minilm": {"max_batch_size": 100, "max_latency_ms": 60000},
        },
        "tuned": {
            "iris": {"max_batch_size": 64, "max_latency_ms": 10000},
            "minilm": {"max_batch_size": 1, "max_latency_ms": 60000},
        },
    },
    commands=_commands,
)
