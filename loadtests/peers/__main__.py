"""Measure Tandem beside its peers: `python -m loadtests.peers`, or `make bench-peers`, which installs them first.

A short try, which is printed and not kept:

    python -m loadtests.peers --peers mosec,litserve --connections 64 --seconds 3 --rounds 2 --no-save
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

from loadtests.peers.catalogue import PEERS
from loadtests.peers.figures import US
from loadtests.peers.keeping import Keeper, collected, recovered, rendered_anew
from loadtests.peers.peer import VARIANTS, Model, Peer
from loadtests.peers.rounds import Options, measure
from loadtests.peers.session import Scope
from loadtests.peers.targets import targets
from loadtests.peers.tfserving import peer as tfserving
from loadtests.results import Row

MODELS: tuple[Model, ...] = ("iris", "minilm")
T = TypeVar("T")


def main() -> int:
    """Measure, print, save and render; 1 if an answer was wrong or missing, a server failed, or it ended early."""
    arguments = _arguments()
    if arguments.render:
        rendered_anew()
        return 0
    if arguments.recover:
        recovered()
        return 0
    peers = _peers(arguments)
    keeper = _keeper(arguments, peers)
    keep = keeper.so_far if arguments.save else _forget
    with ExitStack() as stack:
        folder = arguments.logs or stack.enter_context(tempfile.TemporaryDirectory())
        found = measure(_options(arguments, peers, Path(folder).resolve()))
        rows, early = collected(found, keep, limit_s=arguments.minutes * 60)
    for target in targets(rows):
        print(target.verdict)
    if arguments.save and rows:
        keeper.done(rows, early=early)
    return 1 if early or any(map(_is_fault, rows)) else 0


def _keeper(arguments: argparse.Namespace, peers: Sequence[Peer]) -> Keeper:
    return Keeper(
        command=shlex.join(["python", "-m", "loadtests.peers", *sys.argv[1:]]),
        versions={peer.version[0]: peer.installed() for peer in peers},
        settings={"cores for servers and load together": arguments.cores},
    )


def _forget(rows: Sequence[Row]) -> None:
    """Of a short try nothing is kept."""


def _is_fault(row: Row) -> bool:
    """Under too much load a server may refuse; it may not answer wrong, nor refuse callers that wait."""
    refused = row["loop"] in {"check", "closed"} and row["errors"]
    return bool(refused or row.get("wrong") or row["loop"] == "failed")


def _peers(arguments: argparse.Namespace) -> list[Peer]:
    """Tandem and who else is asked for; ends the program when one is not there."""
    named = dict.fromkeys([US, *arguments.peers])
    unknown = [name for name in named if name not in PEERS]
    if unknown:
        sys.exit(f"no such peer: {', '.join(unknown)}; there are {', '.join(PEERS)}")
    peers = [PEERS[name].tuned(arguments.tuned if name != US else {}) for name in named]
    missing = [peer.missing for peer in peers if peer.missing]
    if missing:
        sys.exit("\n".join(missing))
    binary: Path | None = arguments.tensorflow_model_server
    return peers if binary is None else [*peers, *tfserving.peers(binary)]


def _options(arguments: argparse.Namespace, peers: Sequence[Peer], scratch: Path) -> Options:
    return Options(
        peers=peers,
        models=[model for model in MODELS if model in arguments.models],
        variants=[variant for variant in VARIANTS if variant in arguments.variants],
        connections={
            "iris": arguments.connections,
            "minilm": arguments.minilm_connections or arguments.connections,
        },
        shares=arguments.shares,
        seconds=arguments.seconds,
        rounds=arguments.rounds,
        scope=Scope([int(core) for core in arguments.cores.split(",")], scratch),
    )


def _listed(kind: Callable[[str], T]) -> Callable[[str], list[T]]:
    return lambda text: [kind(part) for part in text.split(",") if part]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtests.peers", description=__doc__)
    add = parser.add_argument
    names, numbers = _listed(str), _listed(int)
    add("--peers", type=names, default=list(PEERS), help="besides Tandem; all of them")
    add("--models", type=names, default=list(MODELS))
    add("--variants", type=names, default=list(VARIANTS))
    add("--connections", type=numbers, default=[1, 16, 64, 256], help="of the closed loops")
    add("--minilm-connections", type=numbers, help="the same for minilm alone")
    add("--shares", type=_listed(float), default=[0.25, 0.5, 0.75, 0.9, 1.1],
        help="of a server's capacity, offered in the open loops; empty for none")  # fmt: skip
    add("--seconds", type=int, default=2, help="of one measurement with iris")
    add("--rounds", type=int, default=2, help="with iris; half as many with minilm")
    add("--minutes", type=float, default=60.0,
        help="after which no other server is started; what was measured is kept")  # fmt: skip
    add("--cores", default="0,1", help="which servers and load share")
    add("--tensorflow-model-server", type=Path, metavar="PATH",
        help="the binary of TensorFlow Serving, to measure it by itself and behind Tandem")  # fmt: skip
    add("--tuned", type=json.loads, default={}, metavar="JSON",
        help="settings of the peers' tuned variant, over ours: to look for better ones")  # fmt: skip
    add("--logs", type=Path, metavar="DIR", help="a folder that keeps the servers' files and logs")
    add("--save", action=argparse.BooleanOptionalAction, default=True,
        help="keep the results, and render loadtests/README.md from them")  # fmt: skip
    add("--render", action="store_true", help="only render what was kept, again")
    add("--recover", action="store_true",
        help="only make the report of what a run that was killed has left")  # fmt: skip
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
