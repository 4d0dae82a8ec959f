"""How is the real TensorFlow Serving started and asked? By itself over REST, and behind Tandem over gRPC.

There is no package of it for Python: the binary `tensorflow_model_server` is given by an option, and left out
without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from loadtests.bench.processes import ROOT, free_port
from loadtests.peers.forms import TFS
from loadtests.peers.peer import Command, Peer, Start
from loadtests.peers.tandem.peer import SHIPPED, gateway

__all__ = ["peers"]

_MODELS = """model_config_list {{
  config {{ name: "{model}" base_path: "{path}" model_platform: "tensorflow" }}
}}
"""
_BATCHING = """max_batch_size {{ value: {max_batch_size} }}
batch_timeout_micros {{ value: {batch_timeout_us} }}
"""


def peers(binary: Path) -> tuple[Peer, Peer]:
    """TensorFlow Serving by itself, and with Tandem in front of it."""
    alone = Peer(
        name="tfserving",
        title="TensorFlow Serving",
        version=("tensorflow-serving-api", ".venv-tf"),  # its messages, of the same sources
        form=TFS,
        path="/v1/models/{model}:predict",
        # Without batching it is at its fastest with iris. With it, it batches rows of one length only.
        settings={
            "recommended": {"iris": {}, "minilm": {}},
            "tuned": {
                "iris": {"max_batch_size": 64, "batch_timeout_us": 0},
                "minilm": {"max_batch_size": 16, "batch_timeout_us": 0, "client_pads_to": 16},
            },
        },
        commands=partial(_alone, binary),
    )
    behind = Peer(
        name="tandem-tfserving",
        title="Tandem in front of TensorFlow Serving",
        version=("tandem-gateway", ".venv"),
        form=TFS,
        path="/v1/models/{model}:predict",
        settings={
            "recommended": {"iris": {}, "minilm": SHIPPED},
            "tuned": {
                "iris": {"max_in_flight": 2},
                "minilm": {"buckets": "16, 32, 48, 64, 80, 96, 112, 128", "max_batch_rows": 8},
            },
        },
        commands=partial(_behind, binary),
    )
    return alone, behind


def _alone(binary: Path, start: Start) -> Sequence[Command]:
    argv = _serving(binary, start, grpc=free_port(), rest=start.port)
    if "max_batch_size" in start.settings:
        parameters = start.scratch / "batching.config"
        parameters.write_text(_BATCHING.format(**start.settings))
        argv += ["--enable_batching=true", f"--batching_parameters_file={parameters}"]
    return [Command(argv)]


def _behind(binary: Path, start: Start) -> Sequence[Command]:
    grpc = free_port()
    argv = _serving(binary, start, grpc=grpc, rest=free_port())
    return [Command(argv), gateway(start, f'kind = "tfserving"\naddress = "127.0.0.1:{grpc}"')]


def _serving(binary: Path, start: Start, *, grpc: int, rest: int) -> list[str | Path]:
    config = start.scratch / "models.config"
    path = ROOT / "model_store" / start.model
    config.write_text(_MODELS.format(model=start.model, path=path))
    argv: list[str | Path] = [binary, f"--model_config_file={config}", f"--port={grpc}"]
    argv += [f"--rest_api_port={rest}", "--rest_api_num_threads=16"]
    return [
        *argv,
        "--tensorflow_intra_op_parallelism=1",
        "--tensorflow_inter_op_parallelism=1",
    ]
