"""Start everything, send the real test sets, print how the arms compare: the phases of `tandem demo`."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from typing import TYPE_CHECKING

from gateway.cli.demo.prepare import build_store, tell_environments
from gateway.cli.demo.tour import tell_next
from gateway.cli.interrupt import Interrupt, run_interruptibly
from gateway.cli.launch import Tools, find_tools
from gateway.cli.options import add_config, add_listeners, read_config, require_ports
from gateway.cli.stack import running_stack
from gateway.cli.terminal import CommandError, Terminal
from gateway.config import Config

if TYPE_CHECKING:
    from gateway.cli.demo.findings import Findings
    from gateway.cli.demo.measure import Candidate

EXAMPLES = """\
Examples:
  tandem demo                    everything, then stay up to be tried out, until Ctrl-C
  tandem demo --once             end after the report: for CI
  tandem demo --scale 10         ten times the requests: narrower intervals
  tandem demo --once --json      the figures as JSON; progress goes to standard error

Exit status: 0 all is well, 1 something failed (a request, the arms' agreement, the split, a process),
2 the configuration is wrong.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    add_config(parser)
    parser.add_argument("--once", action="store_true", help="end after the report")
    parser.add_argument(
        "--scale", type=_scale, default=1.0, metavar="X", help="times the usual number of requests"
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    add_listeners(parser)


def _scale(text: str) -> float:
    try:
        scale = float(text)
    except ValueError:
        scale = 0.0
    if not 0 < scale <= 1000:  # noqa: PLR2004 - a day of traffic
        raise argparse.ArgumentTypeError(f"got {text!r}, wants a number above 0, at most 1000")
    return scale


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """All phases, one after the other."""
    if arguments.json:
        terminal = Terminal(sys.stderr)
    config = read_config(arguments)
    require_ports(config.listen, "rest", "grpc", "admin")  # all of which the demo asks
    tools = find_tools(config)
    if not config.models:
        raise CommandError(f"{arguments.config} has no models to compare", status=2)

    async def command(interrupt: Interrupt) -> int:
        tell_environments(tools, terminal)
        await build_store(list(config.models), tools, terminal)
        async with running_stack(arguments.config, config, tools, terminal):
            findings = await _compare(config, tools, terminal, scale=arguments.scale)
            status = 1 if any(found.problems for found in findings) else 0
            if arguments.json:
                sys.stdout.write(
                    json.dumps([dataclasses.asdict(found) for found in findings]) + "\n"
                )
            if not arguments.once:
                tell_next(arguments.config, config, tools, terminal)
                await interrupt.wait()
            terminal.status("stopping")
        terminal.end_status()
        return status

    return run_interruptibly(command)


async def _compare(
    config: Config, tools: Tools, terminal: Terminal, *, scale: float
) -> list[Findings]:
    from gateway.cli.demo.callers import open_callers  # noqa: PLC0415 - gRPC, numpy: not for --help
    from gateway.cli.demo.findings import find  # noqa: PLC0415
    from gateway.cli.demo.measure import measure, open_candidate  # noqa: PLC0415
    from gateway.cli.demo.report import describe, legend  # noqa: PLC0415

    candidates: list[Candidate] = [
        open_candidate(tools.store, name, model) for name, model in config.models.items()
    ]
    findings: list[Findings] = []
    listen = config.listen
    async with open_callers(listen.rest, listen.grpc) as callers:
        for candidate in candidates:
            evidence = await measure(
                candidate, callers, listen.admin, scale=scale, terminal=terminal
            )
            findings.append(find(evidence))
            terminal.say()
            terminal.say("\n".join(describe(findings[-1], terminal)))
    terminal.say()
    terminal.say(terminal.dim(legend()))
    return findings
