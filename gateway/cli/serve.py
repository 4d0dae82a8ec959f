"""Run the gateway alone, in this process: what a container runs, and what `tandem up` starts."""

from __future__ import annotations

import argparse
from pathlib import Path

from gateway.cli.options import DEFAULT_FILE, add_listeners, overrides
from gateway.cli.terminal import CommandError, Terminal
from gateway.control.source import ConfigError

EXAMPLES = """\
Examples:
  tandem serve                                  ./tandem.toml
  tandem serve prod.toml --rest 0.0.0.0:8080    a flag wins over the file's [listen]
  tandem serve prod.toml --admin 127.0.0.1:0    port 0 takes a free one; the log says which

The file is read again when it changes; a file with a mistake changes nothing and is reported.
SIGTERM and Ctrl-C finish what was accepted, then stop. A second one stops at once.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "file", nargs="?", type=Path, default=DEFAULT_FILE, help="default: tandem.toml"
    )
    add_listeners(parser)


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Serve until a signal; the gateway's own exit status."""
    import uvloop  # noqa: PLC0415 - not needed to print --help

    from gateway.app import run_gateway  # noqa: PLC0415 - not needed to print --help
    from gateway.memory import keep_freed  # noqa: PLC0415
    from gateway.servers.listen import ListenError  # noqa: PLC0415

    listen = overrides(arguments)
    terminal.end_status()
    keep_freed()
    try:
        return uvloop.run(
            run_gateway(arguments.file, rest=listen.rest, grpc=listen.grpc, admin=listen.admin)
        )
    except ConfigError as error:
        raise CommandError(f"the configuration is wrong\n{error}", status=2) from error
    except ListenError as error:
        raise CommandError(str(error)) from error
