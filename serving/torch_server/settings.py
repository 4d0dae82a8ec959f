"""What can be set on the server's command line, and what are the defaults?"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from gateway.config import NAME

__all__ = ["Address", "Device", "Settings", "parse"]

_MAX_PORT = 65_535
_DAY_S = 86_400
_MAX_SOCKET_BYTES = 107  # sun_path, less the zero at its end

Device: TypeAlias = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen; port 0 takes a free one."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read `host:port`; an IPv6 host stands in brackets.

        Raises:
            argparse.ArgumentTypeError: it is not that.
        """
        host, colon, port = text.rpartition(":")
        if not colon or not host or not port.isdecimal() or int(port) > _MAX_PORT:
            raise argparse.ArgumentTypeError(f"got {text!r}, wanted HOST:PORT")
        return cls(host.removeprefix("[").removesuffix("]"), int(port))

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The whole command line. Every queue and every wait has its bound here.

    Attributes:
        unix: Paths of Unix sockets where REST answers as well.
        runners: Worker processes of each version.
        threads: Intra-op threads of each worker process.
        models: The models to serve; empty for all in the store.
        latest_versions: How many versions of a model to serve, newest first; 0 for all.
        max_queued: Requests that may wait for a worker, for each version.
    """

    model_store: Path
    rest: Address
    grpc: Address
    unix: tuple[Path, ...] = ()
    device: Device = "auto"
    runners: int = 1
    threads: int = 1
    models: tuple[str, ...] = ()
    latest_versions: int = 0
    poll_s: float = 1.0
    max_queued: int = 256
    max_body_bytes: int = 256 * 1024 * 1024
    default_timeout_s: float = 60.0
    run_timeout_s: float = 120.0
    load_timeout_s: float = 300.0
    drain_timeout_s: float = 25.0
    drain_notice_s: float = 0.0


def parse(argv: Sequence[str]) -> Settings:
    """Read the command line; a wrong one prints what is wrong and exits with status 2."""
    return Settings(**vars(_parser().parse_args(argv)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m serving.torch_server",
        description="Serve AOTInductor packages from a model store over the Open Inference Protocol.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    _add_places(parser)
    _add_execution(parser)
    _add_bounds(parser)
    return parser


def _add_places(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--model-store", type=_folder, required=True, help="folder of <model>/<version>/")
    add("--rest", type=Address.parse, default="127.0.0.1:8610", help="REST and metrics")
    add("--grpc", type=Address.parse, default="127.0.0.1:8611", help="gRPC")
    add("--unix", type=_socket, nargs="*", default=(), help="sockets where REST answers too")
    add("--models", type=_names, default=(), help="models to serve, by comma; none for all")
    add("--latest-versions", type=_count, default=0, help="versions of each model; 0 for all")
    add("--poll-s", type=_seconds, default=1.0, help="how often the store is read")


def _add_execution(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="which packages to take")
    add("--runners", type=_positive, default=1, help="worker processes of each version")
    # More than one only pays for large models on idle cores: threads that wait for a core that somebody
    # else has cost a batch of 0.01 ms several ms, and one of 200 ms a second.
    add("--threads", type=_positive, default=1, help="intra-op threads of a worker")


def _add_bounds(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    mebibytes_256 = 256 * 1024 * 1024
    add("--max-queued", type=_positive, default=256, help="requests waiting, for each version")
    add("--max-body-bytes", type=_positive, default=mebibytes_256, help="bytes of one request")
    add("--default-timeout-s", type=_seconds, default=60.0, help="for requests without a deadline")
    add("--run-timeout-s", type=_seconds, default=120.0, help="after which a worker is killed")
    add("--load-timeout-s", type=_seconds, default=300.0, help="for loading and warming a package")
    add("--drain-timeout-s", type=_seconds, default=25.0, help="for what is in flight at the end")
    add("--drain-notice-s", type=_delay, default=0.0, help="not ready, but still accepting")


def _folder(text: str) -> Path:
    path = Path(text)
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"got {text!r}, wanted an existing folder")
    return path.resolve()


def _socket(text: str) -> Path:
    path = Path(text)
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"got {text!r}, wanted a path in an existing folder")
    if len(os.fsencode(path.absolute())) > _MAX_SOCKET_BYTES:
        raise argparse.ArgumentTypeError(
            f"got {text!r}, the kernel takes at most {_MAX_SOCKET_BYTES} bytes"
        )
    return path.absolute()


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if not NAME.fullmatch(name):
            raise argparse.ArgumentTypeError(f"got name {name!r}, names match {NAME.pattern}")
    return names


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"got {text!r}, wanted 0 or more")
    return int(text)


def _positive(text: str) -> int:
    if (value := _count(text)) < 1:
        raise argparse.ArgumentTypeError(f"got {text!r}, wanted 1 or more")
    return value


def _seconds(text: str) -> float:
    if (value := _delay(text)) == 0:
        raise argparse.ArgumentTypeError(f"got {text!r}, wanted more than 0 seconds")
    return value


def _delay(text: str) -> float:
    try:
        value = float(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(f"got {text!r}, wanted seconds") from exc
    if not 0 <= value <= _DAY_S:
        raise argparse.ArgumentTypeError(f"got {text!r}, wanted 0 to 86400 seconds")
    return value
