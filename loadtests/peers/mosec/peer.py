"""How is mosec started and asked?"""

from __future__ import annotations

from collections.abc import Sequence

from loadtests.bench.processes import ROOT
from loadtests.peers.forms import PLAIN
from loadtests.peers.peer import Command, Peer, Start

__all__ = ["PEER"]

ENVIRONMENT = ".venv-peer-mosec"


def _commands(start: Start) -> Sequence[Command]:
    python = ROOT / ENVIRONMENT / "bin" / "python"
    return [Command([python, "-m", "loadtests.peers.mosec.serve", *start.told])]


PEER = Peer(
    name="mosec",
    title="mosec",
    version=("mosec", ENVIRONMENT),
    form=PLAIN,
    path="/inference",
    settings={
        "recommended": {
            "iris": {"max_batch_size": 32, "max_wait_time_ms": 2, "json": "json"},
            "minilm": {"max_batch_size": 32, "max_wait_time_ms": 10, "json": "json"},
        },
        "tuned": {
            "iris": {"max_batch_size": 32, "max_wait_time_ms": 1, "json": "msgspec"},
            "minilm": {"max_batch_size": 1, "max_wait_time_ms": 0, "json": "msgspec"},
        },
    },
    commands=_commands,
)
