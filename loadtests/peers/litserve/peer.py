"""How is LitServe started and asked?"""

from __future__ import annotations

from collections.abc import Sequence

from loadtests.bench.processes import ROOT
from loadtests.peers.forms import PLAIN
from loadtests.peers.peer import Command, Peer, Start

__all__ = ["PEER"]

ENVIRONMENT = ".venv-peer-litserve"


def _commands(start: Start) -> Sequence[Command]:
    python = ROOT / ENVIRONMENT / "bin" / "python"
    return [Command([python, "-m", "loadtests.peers.litserve.serve", *start.told])]


PEER = Peer(
    name="litserve",
    title="LitServe",
    version=("litserve", ENVIRONMENT),
    form=PLAIN,
    path="/predict",
    settings={
        "recommended": {
            "iris": {"max_batch_size": 32, "batch_timeout_s": 0.002, "fast_queue": False},
            "minilm": {"max_batch_size": 32, "batch_timeout_s": 0.01, "fast_queue": False},
        },
        "tuned": {
            "iris": {"max_batch_size": 64, "batch_timeout_s": 0.002, "fast_queue": True},
            "minilm": {"max_batch_size": 1, "batch_timeout_s": 0.0, "fast_queue": True},
        },
    },
    commands=_commands,
)
