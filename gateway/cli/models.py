"""What does a running gateway serve: models, arms, versions, weights, inputs and outputs?"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.cli.calls import ask_json
from gateway.cli.options import add_config, add_listeners, address_of
from gateway.cli.terminal import Terminal, percent, table
from gateway.tensors import TensorSpec

EXAMPLES = """\
Examples:
  tandem models                              the gateway that ./tandem.toml describes
  tandem models --admin 10.0.0.5:8082        another one
  tandem models --json | jq '.models[].name'
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    add_config(parser)
    add_listeners(parser, "admin", verb="answers")
    parser.add_argument("--json", action="store_true", help="print what the admin API answers")


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Ask the admin API and print."""
    found = ask_json(address_of(arguments, "admin"), "/admin/models")
    if arguments.json:
        terminal.say(json.dumps(found, indent=2))
        return 0
    for model in found["models"]:
        terminal.say("\n".join(describe(model, terminal)))
        terminal.say()
    config = found["config"]
    terminal.say(terminal.dim(f"{config['path']}, in force since {config['loaded_at']}"))
    if config["last_error"]:
        terminal.say(terminal.red(f"a newer version of it was refused:\n{config['last_error']}"))
    return 0


def describe(model: Mapping[str, Any], terminal: Terminal) -> list[str]:
    """One model: its arms as a table, then what it takes and answers, and who shadows it."""
    rows = [
        [arm["name"], share, arm["backend"], arm["kind"], arm["version"] or "–", arm["state"]]
        for arm, share in zip(model["arms"], shares(model["arms"]), strict=True)
    ]
    lines = [terminal.bold(model["name"])]
    lines += [f"  {line}" for line in table(_HEAD, rows, left=len(_HEAD))]
    said = [(arm["name"], arm[what]) for arm in model["arms"] for what in ("error", "complaint")]
    lines += [f"  {arm}: {text}" for arm, text in said if text]
    lines += [f"  {text}" for text in _signatures(model["arms"])]
    for shadow in model["shadow"]:
        lines.append(f"  shadow: {shadow['arm']} on {percent(shadow['sample_ratio'])}")
    for label, version in sorted(model["labels"].items()):
        lines.append(f"  label {label}: version {version}")
    return lines


_HEAD = ("arm", "share", "backend", "protocol", "version", "state")


def shares(arms: Sequence[Mapping[str, Any]]) -> list[str]:
    """Each arm's share of the split."""
    total = sum(arm["weight"] for arm in arms)
    return [percent(arm["weight"] / total if total else None) for arm in arms]


def _signatures(arms: Sequence[Mapping[str, Any]]) -> list[str]:
    """The signatures of the first arm that knows them; the arms of a model have the same."""
    known: Mapping[str, Any] = next((arm["signatures"] for arm in arms if arm["signatures"]), {})
    return [
        f"{name}: {_tensors(signature['inputs'])} → {_tensors(signature['outputs'])}"
        for name, signature in known.items()
    ]


def _tensors(entries: Sequence[Mapping[str, Any]]) -> str:
    specs = [
        TensorSpec(entry["name"], entry["datatype"], _shape(entry["shape"])) for entry in entries
    ]
    return ", ".join(f"{spec.name} {spec.datatype} {spec.describe_shape()}" for spec in specs)


def _shape(dims: Sequence[int] | None) -> tuple[int, ...] | None:
    return None if dims is None else tuple(dims)
