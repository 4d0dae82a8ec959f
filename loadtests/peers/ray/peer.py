"""How is Ray Serve started and asked?"""

from __future__ import annotations

from collections.abc import Sequence

from loadtests.bench.processes import ROOT
from loadtests.peers.forms import PLAIN
from loadtests.peers.peer import Command, Peer, Start

__all__ = ["PEER"]

ENVIRONMENT = ".venv-peer-ray"


def _commands(start: Start) -> Sequence[Command]:
    python = ROOT / ENVIRONMENT / "bin" / "python"
    quiet = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_SERVE_LOG_TO_STDERR": "0"}
    return [Command([python, "-m", "loadtests.peers.ray.serve", *start.told], quiet)]


PEER = Peer(
    name="ray",
    title="Ray Serve",
    version=("ray", ENVIRONMENT),
    form=PLAIN,
    path="/predict",
    settings={
        "recommended": {
            "iris": {
                "max_batch_size": 32,
                "batch_wait_timeout_s": 0.002,
                "max_ongoing_requests": 64,
            },
            "minilm": {
                "max_batch_size": 32,
                "batch_wait_timeout_s": 0.01,
                "max_ongoing_requests": 64,
            },
        },
        "tuned": {
            "iris": {
                "max_batch_size": 64,
                "batch_wait_timeout_s": 0.0,
                "max_ongoing_requests": 256,
            },
            "minilm": {
                "max_batch_size": 1,
                "batch_wait_timeout_s": 0.0,
                "max_ongoing_requests": 256,
            },
        },
    },
    commands=_commands,
)
