"""Where should a person look next? Commands to try, the first of them with its real answer."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from gateway.cli.calls import ask
from gateway.cli.launch import Tools
from gateway.cli.options import DEFAULT_FILE
from gateway.cli.terminal import Terminal
from gateway.config import Config
from model_store.held_out import TEST_SET, HeldOut
from model_store.manifest import versions

__all__ = ["tell_next"]

_MAX_VALUES = 8  # of an example that a person types
_DIGITS = 4


def tell_next(path: Path, config: Config, tools: Tools, terminal: Terminal) -> None:
    """Print what to try, and where metrics, pages and logs are. `path` is the configuration file's."""
    tandem = _short(tools.root / ".venv" / "bin" / "tandem")
    where = "" if path == DEFAULT_FILE else f" --config {shlex.quote(str(path))}"
    rest, admin = config.listen.rest, config.listen.admin
    terminal.say()
    example = _example(config, tools.store)
    if example is not None:
        model, rows = example
        body = json.dumps({"instances": rows})
        predict = f"/v1/models/{model}:predict"
        terminal.field("try", f"curl -s http://{rest}{predict} -d {shlex.quote(body)}")
        terminal.field("", terminal.dim(ask(rest, predict, body=body.encode()).body.decode()))
        words = shlex.quote(json.dumps(rows))
        terminal.field(
            "", f"{tandem} predict {model} {words} --dialect oip --grpc --explain{where}"
        )
    first, *others = config.models[name := next(iter(config.models))].arms
    weights = " ".join([f"{first}=90", *(f"{other}=10" for other in others)])
    terminal.field("", f"{tandem} split {name} {weights} --why 'a first look'{where}")
    terminal.field("look", f"http://{rest}/docs   http://{admin}/metrics   {tandem} models{where}")
    terminal.field("", f"logs: {_short(tools.logs)}/")
    terminal.field("next", "README.md   " + terminal.dim("Ctrl-C stops everything"))


def _example(config: Config, store: Path) -> tuple[str, list[object]] | None:
    """A model with an input small enough to type, and one row of its test set."""
    for model in config.models:
        held_out = HeldOut.load(store / model / str(versions(store, model)[-1]) / TEST_SET)
        arrays = list(held_out.take([0]).values())
        if len(arrays) == 1 and arrays[0].size <= _MAX_VALUES:
            row = [round(float(value), _DIGITS) for value in arrays[0].reshape(-1).tolist()]
            return model, [row]
    return None


def _short(path: Path) -> str:
    """Relative to where the person is, if it is below."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
