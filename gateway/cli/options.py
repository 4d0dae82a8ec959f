"""Which configuration file, and which addresses? The options that several commands have."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Literal, TypeAlias

from gateway.cli.terminal import CommandError
from gateway.config import Config, ListenConfig
from gateway.control.source import ConfigError, ListenOverrides, load, split_address

__all__ = [
    "DEFAULT_FILE",
    "add_config",
    "add_listeners",
    "add_workers",
    "address_of",
    "overrides",
    "read_config",
    "require_ports",
]

Listener: TypeAlias = Literal["rest", "grpc", "admin"]

DEFAULT_FILE = Path("tandem.toml")
MAX_WORKERS = 64

_LISTENERS: dict[Listener, str] = {
    "rest": "the REST API",
    "grpc": "gRPC",
    "admin": "the admin API, metrics included,",
}


def add_config(parser: argparse.ArgumentParser) -> None:
    """`--config`."""
    parser.add_argument(
        "--config",
        type=Path,
        default=DEFAULT_FILE,
        metavar="FILE",
        help="default: tandem.toml",
    )


def add_listeners(parser: argparse.ArgumentParser, *names: Listener, verb: str = "listens") -> None:
    """`--rest`, `--grpc` and `--admin`, or those named."""
    for name in names or tuple(_LISTENERS):
        parser.add_argument(
            f"--{name}",
            metavar="HOST:PORT",
            help=f"where {_LISTENERS[name]} {verb}; wins over the file",
        )


def add_workers(parser: argparse.ArgumentParser) -> None:
    """`--workers`."""
    parser.add_argument(
        "--workers",
        type=_count,
        default=1,
        metavar="N",
        help=f"gateway processes that serve as one, at most {MAX_WORKERS}; default: 1",
    )


def _count(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= MAX_WORKERS):
        raise argparse.ArgumentTypeError(f"got {text!r}, wants a number from 1 to {MAX_WORKERS}")
    return int(text)


def overrides(arguments: argparse.Namespace) -> ListenOverrides:
    """What the flags for listeners say."""
    return ListenOverrides(**{name: getattr(arguments, name, None) for name in _LISTENERS})


def read_config(arguments: argparse.Namespace) -> Config:
    """The configuration file, with the flags for listeners applied.

    Raises:
        CommandError: with all that is wrong; its status is 2.
    """
    try:
        return load(arguments.config, overrides(arguments))
    except ConfigError as error:
        raise CommandError(f"the configuration is wrong\n{error}", status=2) from error


def address_of(arguments: argparse.Namespace, listener: Listener) -> str:
    """Where a running gateway is to be asked: the flag's address, which needs no file, else the file's.

    Raises:
        CommandError: the flag, or the file that had to be read, is wrong; its status is 2.
    """
    flags = overrides(arguments)
    listen = read_config(arguments).listen if getattr(flags, listener) is None else _flagged(flags)
    require_ports(listen, listener)
    return str(getattr(listen, listener))


def require_ports(listen: ListenConfig, *listeners: Listener) -> None:
    """Check that listeners which we will ask have a port that can be known beforehand.

    Raises:
        CommandError: one has port 0; its status is 2.
    """
    for name in listeners:
        address = str(getattr(listen, name))
        if split_address(address)[1] == 0:
            raise CommandError(
                f"listen.{name} (--{name}): got {address}, wants a port other than 0,"
                " which the system would choose: nobody here could know where to ask",
                status=2,
            )


def _flagged(flags: ListenOverrides) -> ListenConfig:
    try:
        return flags.apply(Config(backends={}, models={})).listen
    except ConfigError as error:
        raise CommandError(str(error), status=2) from error
