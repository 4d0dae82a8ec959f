"""Run the gateway alone, in this process or in several: what a container runs, and what `tandem up` starts."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from gateway.cli.options import DEFAULT_FILE, add_listeners, add_workers, overrides
from gateway.cli.terminal import CommandError, Terminal
from gateway.control.source import ConfigError

EXAMPLES = """\
Examples:
  tandem serve                                  ./tandem.toml
  tandem serve prod.toml --rest 0.0.0.0:8080    a flag wins over the file's [listen]
  tandem serve prod.toml --admin 127.0.0.1:0    port 0 takes a free one; the log says which
  tandem serve prod.toml --front envoy          inside Envoy: HTTP/2, gRPC and REST on either port
  tandem serve prod.toml --workers 4            four processes on the same addresses

The file is read again when it changes; a file with a mistake changes nothing and is reported.
SIGTERM and Ctrl-C finish what was accepted, then stop. A second one stops at once.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "file", nargs="?", type=Path, default=DEFAULT_FILE, help="default: tandem.toml"
    )
    add_listeners(parser)
    add_workers(parser)
    parser.add_argument(
        "--front",
        choices=("own", "envoy"),
        default="own",
        help="what listens: our own servers (the default), or Envoy with the gateway inside it",
    )
    for name, what in (("cert", "certificate chain"), ("key", "private key")):
        parser.add_argument(
            f"--tls-{name}", type=Path, metavar="FILE", help=f"{what} (PEM), with --front envoy"
        )


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Serve until a signal; the gateway's own exit status."""
    import uvloop  # noqa: PLC0415 - not needed to print --help

    from gateway.app import run_gateway  # noqa: PLC0415 - not needed to print --help
    from gateway.http1.listen import ListenError  # noqa: PLC0415
    from gateway.memory import keep_freed  # noqa: PLC0415

    listen = overrides(arguments)
    terminal.end_status()
    try:
        if arguments.front == "envoy":
            if arguments.workers > 1:
                raise CommandError("--front envoy takes no --workers above 1", status=2)
            return _run_behind_envoy(arguments)
        if arguments.tls_cert or arguments.tls_key:
            raise CommandError("--tls-cert and --tls-key need --front envoy", status=2)
        if arguments.workers > 1:
            return _run_workers(arguments)
        keep_freed()
        return uvloop.run(
            run_gateway(arguments.file, rest=listen.rest, grpc=listen.grpc, admin=listen.admin)
        )
    except ConfigError as error:
        raise CommandError(f"the configuration is wrong\n{error}", status=2) from error
    except ListenError as error:
        raise CommandError(str(error)) from error


def _run_workers(arguments: argparse.Namespace) -> int:
    import uvloop  # noqa: PLC0415

    from gateway.workers.supervisor import WorkersFailed, run_workers  # noqa: PLC0415

    if not sys.platform.startswith("linux"):
        raise CommandError("--workers above 1 needs Linux", status=2)
    try:
        return uvloop.run(run_workers(arguments.file, overrides(arguments), arguments.workers))
    except WorkersFailed as error:
        raise CommandError(str(error)) from error


def _run_behind_envoy(arguments: argparse.Namespace) -> int:
    import asyncio  # noqa: PLC0415

    from gateway.front.process import (  # noqa: PLC0415
        Certificate,
        EnvoyError,
        run_behind_envoy,
    )

    chain, key = arguments.tls_cert, arguments.tls_key
    if (chain is None) != (key is None):
        raise CommandError("--tls-cert and --tls-key are given together", status=2)
    certificate = Certificate(chain=chain, key=key) if chain is not None else None
    try:
        return asyncio.run(run_behind_envoy(arguments.file, overrides(arguments), certificate))
    except EnvoyError as error:
        raise CommandError(str(error)) from error
