"""How is a model's traffic split, who gets which arm, and how is that changed while everything runs?"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any

from gateway.cli.calls import Unreachable, ask_json, metric_sums
from gateway.cli.options import add_config, add_listeners, address_of, read_config
from gateway.cli.terminal import CommandError, Terminal, percent, table
from gateway.config import ModelConfig
from gateway.control.source import ConfigError
from gateway.routing.split import choose, score

EXAMPLES = """\
Examples:
  tandem split iris                                  the split, and what traffic really got
  tandem split iris tf=90 torch=10 --why "canary"    change it: edits the file, waits for the gateway
  tandem split iris torch=0                          arms that are not named keep their weight
  tandem split iris --unit user-17                   which arm this user gets, and why

Weights are relative. Raising one arm's weight only moves units into that arm. A change is written to the
configuration file (comments stay) and noted, with the reason, in .tandem/decisions.jsonl beside it.
"""

_RELOAD_TIMEOUT_S = 10.0
_LOOK_EVERY_S = 0.1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("model", metavar="MODEL")
    # The default makes it optional: argparse demands a `*` that has none.
    parser.add_argument(
        "weights", nargs="*", default=[], metavar="ARM=WEIGHT", help="change it to these weights"
    )
    parser.add_argument(
        "--why", metavar="TEXT", default="", help="the reason of the change, for the record"
    )
    parser.add_argument("--unit", metavar="UNIT", help="tell which arm this unit gets")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_listeners(parser, "admin", verb="answers")
    add_config(parser)


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Show, explain or change the split."""
    if arguments.weights and arguments.unit is not None:
        raise CommandError("--unit tells, ARM=WEIGHT changes: one at a time", status=2)
    if arguments.why and not arguments.weights:
        raise CommandError("--why explains a change, and there is none: add ARM=WEIGHT", status=2)
    if arguments.weights:
        return _change(arguments, terminal)
    model = _model(arguments)
    if arguments.unit is not None:
        return _explain(arguments, model, terminal)
    return _show(arguments, model, terminal)


def _model(arguments: argparse.Namespace) -> ModelConfig:
    models = read_config(arguments).models
    if arguments.model not in models:
        known = ", ".join(models) or "none"
        raise CommandError(f"got model {arguments.model!r}, configured: {known}", status=2)
    return models[arguments.model]


def _explain(arguments: argparse.Namespace, model: ModelConfig, terminal: Terminal) -> int:
    salt = model.split.salt or arguments.model
    weights = {name: arm.weight for name, arm in model.arms.items()}
    chosen = choose(weights, arguments.unit, salt)
    scores = {
        name: score(arguments.unit, name, weight=weight, salt=salt)
        for name, weight in weights.items()
        if weight > 0
    }
    if arguments.json:
        shown = {"unit": arguments.unit, "arm": chosen, "scores": scores, "salt": salt}
        terminal.say(json.dumps(shown, indent=2))
        return 0
    terminal.say(f"{arguments.unit} gets {terminal.bold(chosen)} of {arguments.model}")
    terminal.say()
    rows = [
        [name, f"{weights[name]:g}", f"{value:.5f}", "lowest, wins" if name == chosen else ""]
        for name, value in sorted(scores.items(), key=lambda pair: pair[1])
    ]
    terminal.say("\n".join(table(["arm", "weight", "−ln(h)/weight", ""], rows, left=4)))
    terminal.say(
        f"\nh is a hash of salt {salt!r}, the unit and the arm, as a number between 0 and 1:"
        " the same everywhere, always."
    )
    return 0


def _show(arguments: argparse.Namespace, model: ModelConfig, terminal: Terminal) -> int:
    weights = {name: arm.weight for name, arm in model.arms.items()}
    try:
        seen = _seen(arguments)
    except Unreachable as error:
        seen, note = {}, f"no traffic to compare with: {error}"
    else:
        note = f"requests that the split decided, since the gateway started: {sum(seen.values()):,}"
    if arguments.json:
        terminal.say(json.dumps({"weights": weights, "requests": seen}, indent=2))
        return 0
    total, requests = sum(weights.values()), sum(seen.values())
    rows = [
        [
            name,
            f"{weight:g}",
            percent(weight / total),
            f"{seen.get(name, 0):,}",
            percent(seen.get(name, 0) / requests if requests else None),
        ]
        for name, weight in weights.items()
    ]
    terminal.say("\n".join(table(["arm", "weight", "share", "requests", "seen"], rows)))
    terminal.say(f"\nby {', '.join(model.split.unit) or 'request id'}; {note}")
    return 0


def _seen(arguments: argparse.Namespace) -> dict[str, int]:
    """Requests per arm that the split, and nothing else, decided."""
    address = address_of(arguments, "admin")
    counts = metric_sums(address, "tandem_assignments_total", "model", "arm", "why")
    return {
        arm: int(count)
        for (model, arm, why), count in counts.items()
        if model == arguments.model and why == "split"
    }


def _change(arguments: argparse.Namespace, terminal: Terminal) -> int:
    from gateway.cli.weights import read_weights, replace_file, with_weights  # noqa: PLC0415

    before = {name: arm.weight for name, arm in _model(arguments).arms.items()}
    try:
        asked = read_weights(arguments.weights)
        text = arguments.config.read_bytes().decode()
        changed = with_weights(text, arguments.model, asked, str(arguments.config))
    except (ValueError, ConfigError) as error:
        raise CommandError(f"nothing was changed: {error}", status=2) from error
    after = {**before, **asked}
    try:
        replace_file(arguments.config, changed)
    except OSError as error:
        raise CommandError(f"nothing was changed: {arguments.config}: {error.strerror}") from error
    _note(arguments, before, after)
    outcome = _await_reload(arguments, after, terminal)
    if arguments.json:
        shown = {"before": before, "after": after, "gateway": outcome}
        terminal.say(json.dumps(shown, indent=2))
    else:
        rows = [[arm, f"{before[arm]:g}", f"{after[arm]:g}"] for arm in before]
        terminal.say("\n".join(table(["arm", "before", "after"], rows)))
        terminal.say(f"\n{arguments.config} is written; {outcome}")
    return 0


def _note(
    arguments: argparse.Namespace, before: Mapping[str, float], after: Mapping[str, float]
) -> None:
    """Add the decision to the record: who changed what, when and why is asked later, if ever."""
    record = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "model": arguments.model,
        "before": before,
        "after": after,
        "why": arguments.why,
    }
    folder: Path = arguments.config.resolve().parent / ".tandem"
    folder.mkdir(exist_ok=True)
    with (folder / "decisions.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(record, ensure_ascii=False) + "\n")


def _await_reload(
    arguments: argparse.Namespace, wanted: Mapping[str, float], terminal: Terminal
) -> str:
    """Wait until the running gateway has these weights, and say how that went.

    Raises:
        CommandError: it refused the file, or did not read it in time.
    """
    address = address_of(arguments, "admin")
    deadline = time.monotonic() + _RELOAD_TIMEOUT_S
    begun = time.monotonic()
    config: Mapping[str, Any] = {}
    while time.monotonic() < deadline:
        try:
            found = ask_json(address, "/admin/models")
        except Unreachable:
            return f"no gateway runs at {address}, it will read the file when it starts"
        config = found["config"]
        if _weights_in_force(found, arguments.model) == wanted:
            return f"the gateway has it since {time.monotonic() - begun:.1f} s"
        terminal.status("waiting for the gateway to read it")
        Event().wait(_LOOK_EVERY_S)
    if config["last_error"]:
        raise CommandError(f"the gateway refused the file:\n{config['last_error']}")
    raise CommandError(
        f"the file is written, but after {_RELOAD_TIMEOUT_S:.0f} s the gateway at {address} has not"
        f" taken it; it reads {config['path']}"
    )


def _weights_in_force(found: Mapping[str, Any], model: str) -> dict[str, float]:
    for entry in found["models"]:
        if entry["name"] == model:
            return {arm["name"]: arm["weight"] for arm in entry["arms"]}
    return {}
