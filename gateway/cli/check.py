"""Is this configuration file sound, and what would it serve?"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

from gateway.cli.options import DEFAULT_FILE
from gateway.cli.terminal import Terminal, percent, table
from gateway.config import Config, ModelConfig
from gateway.control.source import ConfigError, load

EXAMPLES = """\
Examples:
  tandem check                       ./tandem.toml
  tandem check prod.toml --json      for a program; problems have file, line, place and message
  tandem check prod.toml && kubectl create configmap tandem --from-file=tandem.toml=prod.toml

Exit status: 0 the file is sound, 2 it is not (every problem is printed with its line).
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "file", nargs="?", type=Path, default=DEFAULT_FILE, help="default: tandem.toml"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Print what is wrong, or a summary."""
    try:
        config = load(arguments.file)
    except ConfigError as error:
        if arguments.json:
            problems = [dataclasses.asdict(problem) for problem in error.problems]
            terminal.say(json.dumps({"ok": False, "problems": problems}, indent=2))
        else:
            for problem in error.problems:
                terminal.say(str(problem))
        return 2
    if arguments.json:
        shown = {"ok": True, "config": dataclasses.asdict(config)}
        terminal.say(json.dumps(shown, indent=2))
    else:
        terminal.say("\n".join(summary(str(arguments.file), config)))
    return 0


def summary(name: str, config: Config) -> list[str]:
    """A few lines on what the configuration serves, from where, and how traffic is split."""
    models, backends = len(config.models), len(config.backends)
    lines = [f"{name} is sound: {_count(models, 'model')}, {_count(backends, 'backend')}", ""]
    rows = [
        [model, shares(settings), _shadows(settings), _batching(settings)]
        for model, settings in config.models.items()
    ]
    lines += table(["model", "split", "shadow", "batches"], rows, left=4) if rows else []
    lines += [""]
    lines += [
        f"backend {backend_name}: {backend.kind} at {backend.address}"
        for backend_name, backend in config.backends.items()
    ]
    listen = config.listen
    return [*lines, f"listens: REST {listen.rest}, gRPC {listen.grpc}, admin {listen.admin}"]


def shares(model: ModelConfig) -> str:
    """`tf 50 % · torch 50 %`: each arm's configured share of the split."""
    total = sum(arm.weight for arm in model.arms.values())
    return " · ".join(f"{name} {percent(arm.weight / total)}" for name, arm in model.arms.items())


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _shadows(model: ModelConfig) -> str:
    return (
        ", ".join(f"{shadow.arm} {percent(shadow.sample_ratio)}" for shadow in model.shadow) or "–"
    )


def _batching(model: ModelConfig) -> str:
    batching = model.batching
    wait = f"wait {batching.max_delay_ms:g} ms" if batching.max_delay_ms else "no wait"
    return f"≤ {batching.max_batch_rows} rows, {wait}, {batching.min_in_flight} to {batching.max_in_flight} in flight"
