"""Where does the stand-in listen, how much does it hold, how may TensorFlow use the machine?

The names of the flags are TensorFlow Serving's where it has such a flag, with dashes for underscores.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Settings", "Threading", "read_arguments"]

_MAX_MESSAGE_BYTES = 2**31 - 1
_MAX_SECONDS = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Threading:
    """How TensorFlow may use the machine.

    Attributes:
        intra_op_threads: Threads that share one large operation; 0 for one per core.
        inter_op_threads: Threads that run operations beside each other; 0 runs them one after another
            in the calling thread, which saves a hop and is faster for nets without parallel branches.
    """

    intra_op_threads: int = 0
    inter_op_threads: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the command line said.

    Attributes:
        config_file: The `ModelServerConfig` in text format.
        host, port: Where to listen; port 0 takes a free one.
        base_paths: Base paths by model that replace those in the file.
        model_store: A store whose `<model>` directories replace the base paths in the file.
        require_manifest: Refuse versions that have no manifest.
        poll_wait_s: Seconds between looks at the base paths; 0 looks only once.
        threads: Calls that run a model at once.
        max_queued: Calls to a model that may wait for a thread.
        max_batch_rows: Refuse what a server refuses that batches up to so many rows; 0 for one that does not.
        max_message_bytes: The largest request or answer.
        drain_timeout_s: Seconds that calls in flight may take after a signal.
        tensorflow: How TensorFlow may use the machine.
    """

    config_file: Path
    host: str = "127.0.0.1"
    port: int = 8500
    base_paths: Mapping[str, Path] = field(default_factory=dict)
    model_store: Path | None = None
    require_manifest: bool = False
    poll_wait_s: float = 1.0
    threads: int = 4
    max_queued: int = 256
    max_batch_rows: int = 0
    max_message_bytes: int = _MAX_MESSAGE_BYTES
    drain_timeout_s: float = 25.0
    tensorflow: Threading = field(default_factory=Threading)


def read_arguments(arguments: Sequence[str] | None) -> Settings:
    """Read the command line; ends the process with status 2 and a message if it cannot be read."""
    options = vars(_parser().parse_args(arguments))
    tensorflow = Threading(
        intra_op_threads=options.pop("intra_op_threads"),
        inter_op_threads=options.pop("inter_op_threads"),
    )
    base_paths = dict(options.pop("base_paths"))
    return Settings(**options, base_paths=base_paths, tensorflow=tensorflow)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m serving.tf_serving.local",
        description="A stand-in for tensorflow_model_server: its gRPC API on the tensorflow package.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    _add_models(parser.add_argument_group("models"))
    _add_network(parser.add_argument_group("network"))
    _add_limits(parser.add_argument_group("limits"))
    return parser


def _add_models(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--model-config-file",
        dest="config_file",
        type=Path,
        required=True,
        metavar="FILE",
        help="the models.config that the real server reads",
    )
    group.add_argument(
        "--model-store",
        type=Path,
        metavar="PATH",
        help="read <PATH>/<model> instead of the base paths in the file",
    )
    group.add_argument(
        "--model-base-path",
        dest="base_paths",
        type=_base_path,
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="read PATH for this model instead; may be repeated, wins over --model-store",
    )
    group.add_argument(
        "--require-manifest",
        action="store_true",
        help="refuse versions without a manifest; one that is there is always verified",
    )
    group.add_argument(
        "--file-system-poll-wait-seconds",
        dest="poll_wait_s",
        type=_seconds,
        default=1.0,
        metavar="S",
        help="seconds between looks at the base paths; 0 looks only once",
    )


def _add_network(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--host", default="127.0.0.1", help="address to listen on")
    group.add_argument("--port", type=_whole, default=8500, help="gRPC port; 0 takes a free one")
    group.add_argument(
        "--max-message-bytes",
        type=_positive,
        default=_MAX_MESSAGE_BYTES,
        metavar="N",
        help="largest request or answer",
    )
    group.add_argument(
        "--drain-timeout-seconds",
        dest="drain_timeout_s",
        type=_seconds,
        default=25.0,
        metavar="S",
        help="how long calls in flight may take after SIGTERM",
    )


def _add_limits(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--threads",
        type=_positive,
        default=2 * (os.cpu_count() or 1),
        metavar="N",
        help="calls that run a model at once",
    )
    group.add_argument(
        "--max-queued",
        type=_whole,
        default=256,
        metavar="N",
        help="calls to a model that may wait for a thread; one more is RESOURCE_EXHAUSTED",
    )
    group.add_argument(
        "--max-batch-rows",
        type=_whole,
        default=0,
        metavar="N",
        help="refuse what a server refuses that batches up to N rows; 0 for one that does not batch",
    )
    group.add_argument(
        "--tensorflow-intra-op-parallelism",
        dest="intra_op_threads",
        type=_whole,
        default=0,
        metavar="N",
        help="threads that share one operation; 0 for one per core",
    )
    group.add_argument(
        "--tensorflow-inter-op-parallelism",
        dest="inter_op_threads",
        type=_whole,
        default=0,
        metavar="N",
        help="threads that run operations side by side; 0 runs them in the calling thread",
    )


def _base_path(text: str) -> tuple[str, Path]:
    name, separator, path = text.partition("=")
    if not (name and separator and path):
        raise argparse.ArgumentTypeError(f"got {text!r}, wanted NAME=PATH")
    return name, Path(path)


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"got {text!r}, wanted a whole number from 0")
    return int(text)


def _positive(text: str) -> int:
    if _whole(text) < 1:
        raise argparse.ArgumentTypeError(f"got {text!r}, wanted a whole number from 1")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= _MAX_SECONDS:
        raise argparse.ArgumentTypeError(f"got {text!r}, wanted 0 to {_MAX_SECONDS} seconds")
    return seconds
