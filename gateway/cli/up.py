"""Start the backends and the gateway that a configuration describes, and stay until Ctrl-C."""

from __future__ import annotations

import argparse

from gateway.cli.interrupt import Interrupt, run_interruptibly
from gateway.cli.launch import find_tools
from gateway.cli.options import (
    add_config,
    add_listeners,
    add_workers,
    read_config,
    require_ports,
)
from gateway.cli.stack import running_stack
from gateway.cli.terminal import Terminal

EXAMPLES = """\
Examples:
  tandem up                               what ./tandem.toml describes
  tandem up --config mine.toml --rest 127.0.0.1:9000
  tandem up --once                        start, wait until all is ready, stop: for CI

Started here are the backends on loopback addresses (plain gRPC, one address); others must be running.
`kind = "tfserving"` is tensorflow_model_server where it is on PATH, else a stand-in on the tensorflow package.
What they print goes to .tandem/logs/, in a folder by the port of REST. A backend that dies is started again
while the rest stays up, later each time; five failures in a row end everything. Ctrl-C stops everything, and
nothing is left behind.

Exit status: 0 it was up and was stopped, 1 a server did not start or died for good, 2 the configuration is
wrong; when the gateway ends by itself, its own (1 for 0, 128 + N for signal N).
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    add_config(parser)
    parser.add_argument("--once", action="store_true", help="stop as soon as everything is ready")
    add_listeners(parser)
    add_workers(parser)


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Start, tell where, and stay."""
    config = read_config(arguments)
    require_ports(config.listen, "admin")  # where we ask whether it is ready
    tools = find_tools(config)

    async def command(interrupt: Interrupt) -> int:
        path, workers = arguments.config, arguments.workers
        async with running_stack(path, config, tools, terminal, workers=workers):
            if not arguments.once:
                terminal.say()
                terminal.field("logs", f"{tools.logs}/")
                terminal.say(f"\n{terminal.dim(' Ctrl-C stops everything')}")
                await interrupt.wait()
            terminal.status("stopping")
        terminal.end_status()
        return 0

    return run_interruptibly(command)
