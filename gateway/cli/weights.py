"""How are a model's weights changed in a TOML file that a person wrote, without losing a comment?"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomlkit

from gateway.control.source import parse

__all__ = ["read_weights", "replace_file", "with_weights"]

_MAX_WHOLE = 2**53  # beyond it a float is not the whole number that it looks like


def read_weights(words: list[str]) -> dict[str, float]:
    """`["tf=90", "torch=10"]` as weights.

    Raises:
        ValueError: a word is not `arm=weight` with a weight from 0, or an arm is named twice.
    """
    weights: dict[str, float] = {}
    for word in words:
        arm, equals, text = word.partition("=")
        try:
            weight = float(text)
        except ValueError:
            weight = -1.0
        if not (arm and equals and 0 <= weight < float("inf")):
            raise ValueError(f"got {word!r}, wants arm=weight with a weight from 0, such as tf=90")
        if arm in weights:
            raise ValueError(f"arm {arm} is named twice")
        weights[arm] = weight
    return weights


def with_weights(text: str, model: str, weights: Mapping[str, float], origin: str) -> str:
    """The text of a configuration with these arms' weights; everything else, comments too, as it was.

    Raises:
        ConfigError: the text is wrong before or after the change, for example with no weight left.
        ValueError: there is no such model or arm; the message names those there are.
    """
    config = parse(text, origin)
    if model not in config.models:
        raise ValueError(f"got model {model!r}, models in {origin}: {', '.join(config.models)}")
    arms = config.models[model].arms
    unknown = [arm for arm in weights if arm not in arms]
    if unknown:
        raise ValueError(f"got arm {unknown[0]!r}, arms of {model}: {', '.join(arms)}")
    document = tomlkit.parse(text)
    tables: Any = document["models"]
    for arm, weight in weights.items():
        is_whole = weight == int(weight) < _MAX_WHOLE
        tables[model]["arms"][arm]["weight"] = int(weight) if is_whole else float(weight)
    changed = tomlkit.dumps(document)
    parse(changed, origin)
    return changed


def replace_file(path: Path, text: str) -> None:
    """Write a file so that every reader sees all of the old text or all of the new one.

    A symlink keeps pointing to what is replaced; the file keeps its permissions.

    Raises:
        OSError: the folder cannot be written to.
    """
    target = path.resolve()
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    aside = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fchmod(file.fileno(), target.stat().st_mode)
            os.fsync(file.fileno())
        aside.replace(target)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
