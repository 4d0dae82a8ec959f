"""What does `tandem …` do, and what does its exit status mean?

    0   it worked
    1   it failed; standard error says why
    2   it was not tried: the command line or the configuration is wrong
    130 Ctrl-C before there was anything to report

Each command is a module beside this one with `EXAMPLES`, `add_arguments(parser)` and `run(arguments,
terminal)`. It is imported when it is chosen, so that `tandem --help` does not wait for gRPC or numpy.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from gateway import __version__
from gateway.cli.terminal import CommandError, Terminal

__all__ = ["main"]

COMMANDS = {
    "demo": "start everything, send the real test sets, print how the arms compare",
    "up": "start the backends and the gateway, and stay",
    "serve": "run the gateway alone",
    "check": "say what is wrong with a configuration file, without starting anything",
    "models": "list what a running gateway serves",
    "predict": "ask a running gateway for one prediction",
    "plan": "predict rows/s, latencies and replicas from measured batches, and choose limits",
    "split": "show or change how a model's traffic is split",
}

_EPILOG = """\
Start here:

  tandem demo --once        the main job, from nothing to a comparison
  tandem check tandem.toml  before a change goes live

`tandem COMMAND --help` has the options and examples of each.
Exit status: 0 it worked, 1 it failed, 2 wrong usage or configuration.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit status; the console script `tandem`."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # a terminal that lacks a dash
    chosen = _parser().parse_args(argv)
    terminal = Terminal(sys.stdout)
    try:
        return _run(chosen.command, chosen.arguments, terminal)
    except CommandError as error:
        terminal.end_status()
        print(f"tandem {chosen.command}: {error}", file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        terminal.end_status()
        return 130
    except BrokenPipeError:
        # The reader of our output has seen enough. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def script() -> NoReturn:
    """`python -m gateway`: run, and exit with the status."""
    sys.exit(main())


def _parser() -> argparse.ArgumentParser:
    width = max(map(len, COMMANDS))
    listing = "\n".join(f"  {name:<{width}}  {what}" for name, what in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="tandem",
        usage="tandem COMMAND [options]",
        description=(
            "One endpoint in front of TensorFlow Serving and a PyTorch server: route, batch,\n"
            f"mirror, compare.\n\nCommands:\n\n{listing}"
        ),
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"tandem {__version__}")
    parser.add_argument("command", type=_command, metavar="COMMAND", help="see above")
    rest = parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    rest.required = False  # or an empty command line would be told to bring `arguments`
    return parser


def _command(text: str) -> str:
    if text in COMMANDS:
        return text
    nearest = difflib.get_close_matches(text, COMMANDS, n=1)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else f": {', '.join(COMMANDS)}"
    raise argparse.ArgumentTypeError(f"there is no command {text!r}{hint}")


def _run(name: str, arguments: list[str], terminal: Terminal) -> int:
    command = importlib.import_module(f"gateway.cli.{name}")
    parser = argparse.ArgumentParser(
        prog=f"tandem {name}",
        description=f"{COMMANDS[name].capitalize()}.",
        epilog=command.EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.add_arguments(parser)
    # Intermixed: `split iris --why canary tf=90` is as good as with the weights first.
    status: int = command.run(parser.parse_intermixed_args(arguments), terminal)
    return status
