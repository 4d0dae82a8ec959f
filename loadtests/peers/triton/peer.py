"""How is Triton started and asked? The binary that nvidia-pytriton brings, with its Python backend."""

from __future__ import annotations

import json
import sysconfig
from collections.abc import Sequence

from loadtests.bench.processes import ROOT, free_port
from loadtests.peers.forms import OIP
from loadtests.peers.peer import Command, Peer, Start

__all__ = ["PEER"]

ENVIRONMENT = ".venv-peer-triton"


def _commands(start: Start) -> Sequence[Command]:
    python = ROOT / ENVIRONMENT / "bin" / "python"
    ports = map(str, (start.port, free_port(), free_port()))
    argv = [python, "-m", "loadtests.peers.triton.serve", start.model, *ports]
    # Its Python backend would otherwise take Debian's libpython, of another patch level.
    libraries = {"LD_LIBRARY_PATH": str(sysconfig.get_config_var("LIBDIR"))}
    return [Command([*argv, json.dumps(dict(start.settings))], libraries)]


# Triton puts requests of one length into a batch and no others. Where a client pads, more of them share one.
PEER = Peer(
    name="triton",
    title="Triton",
    version=("nvidia-pytriton", ENVIRONMENT),
    form=OIP,
    path="/v2/models/{model}/infer",
    settings={
        "recommended": {
            "iris": {"max_batch_size": 64, "max_queue_delay_us": 1000},
            "minilm": {"max_batch_size": 32, "max_queue_delay_us": 1000},
        },
        "tuned": {
            "iris": {"max_batch_size": 64, "max_queue_delay_us": 0},
            "minilm": {"max_batch_size": 32, "max_queue_delay_us": 0, "client_pads_to": 16},
        },
    },
    commands=_commands,
)
