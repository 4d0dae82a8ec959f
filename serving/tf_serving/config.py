"""Which models does TensorFlow Serving serve, from which paths, and which of their versions?

The values here are what a `ModelServerConfig` says. `render` writes one in protobuf's text format, the
file that `tensorflow_model_server --model_config_file` and the stand-in both read. Neither protobuf nor
TensorFlow is needed for it, so this also runs in the gateway's environment:

    python -m serving.tf_serving.config --store model_store > models.config
    python -m serving.tf_serving.config --store model_store --mounted-at /models   # paths as a container sees them
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import assert_never

from serving.tf_serving.versions import AllVersions, Latest, Policy, Specific, version_of

__all__ = ["SAVED_MODEL", "ConfigError", "ModelConfig", "models_in", "render"]

SAVED_MODEL = "saved_model.pb"


class ConfigError(Exception):
    """The configuration cannot be used; the text says what was got and what was wanted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """One served model.

    Attributes:
        name: What callers ask for.
        base_path: The directory that holds one directory per version, named by its number.
        policy: Which of the versions found there are served.
        labels: Names for versions, as callers may ask for them.
    """

    name: str
    base_path: str
    policy: Policy = field(default_factory=Latest)
    labels: Mapping[str, int] = field(default_factory=dict)


def models_in(store: Path) -> tuple[str, ...]:
    """The models of a store that have at least one version with a SavedModel, sorted by name.

    Raises:
        ConfigError: the store is not a directory.
    """
    if not store.is_dir():
        raise ConfigError(f"got store {str(store)!r}, which is not a directory")
    return tuple(sorted(path.name for path in store.iterdir() if _has_saved_model(path)))


def render(models: Iterable[ModelConfig]) -> str:
    """The text of a `ModelServerConfig`, one block per model in the order given."""
    lines = ["model_config_list {"]
    for model in models:
        lines += [f"  {line}" for line in _model_lines(model)]
    return "\n".join([*lines, "}", ""])


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the configuration for a model store to standard output and return the exit status."""
    options = _parser().parse_args(arguments)
    policy: Policy = AllVersions() if options.all_versions else Latest(options.num_versions)
    try:
        names = options.model or models_in(options.store)
    except ConfigError as exc:
        print(f"serving.tf_serving.config: {exc}", file=sys.stderr)
        return 2
    base = options.mounted_at or PurePosixPath(options.store.resolve())
    print(
        render(ModelConfig(name=name, base_path=str(base / name), policy=policy) for name in names),
        end="",
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m serving.tf_serving.config",
        description="Write TensorFlow Serving's models.config for a model store.",
    )
    parser.add_argument("--store", type=Path, required=True, help="the model store")
    parser.add_argument(
        "--mounted-at",
        type=PurePosixPath,
        metavar="PATH",
        help="where the server sees the store; the store's own absolute path if left out",
    )
    parser.add_argument(
        "--model",
        action="append",
        metavar="NAME",
        help="only this model, whether built yet or not; may be repeated",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--all-versions", action="store_true", help="serve every version found")
    which.add_argument(
        "--num-versions",
        type=_count,
        default=1,
        metavar="N",
        help="serve the newest N (default: 1)",
    )
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"got {text!r}, wanted a whole number from 1")
    return int(text)


def _has_saved_model(model_dir: Path) -> bool:
    if not model_dir.is_dir():
        return False
    return any(
        version_of(path.name) is not None and (path / SAVED_MODEL).is_file()
        for path in model_dir.iterdir()
    )


def _model_lines(model: ModelConfig) -> list[str]:
    return [
        "config {",
        f"  name: {_quote(model.name)}",
        f"  base_path: {_quote(model.base_path)}",
        '  model_platform: "tensorflow"',
        *[f"  {line}" for line in _policy_lines(model.policy)],
        *[
            f"  version_labels {{ key: {_quote(label)} value: {version} }}"
            for label, version in sorted(model.labels.items())
        ],
        "}",
    ]


def _policy_lines(policy: Policy) -> list[str]:
    match policy:
        case Latest(count=count):
            return [f"model_version_policy {{ latest {{ num_versions: {count} }} }}"]
        case AllVersions():
            return ["model_version_policy { all {} }"]
        case Specific(versions=versions):
            numbers = " ".join(f"versions: {version}" for version in sorted(versions))
            return [f"model_version_policy {{ specific {{ {numbers} }} }}"]
    assert_never(policy)


def _quote(text: str) -> str:
    """A string literal of protobuf's text format: printable ASCII as it is, other bytes in octal."""
    return '"' + "".join(_escape(byte) for byte in text.encode()) + '"'


def _escape(byte: int) -> str:
    character = chr(byte)
    if character in '"\\':
        return f"\\{character}"
    return character if character.isascii() and character.isprintable() else f"\\{byte:03o}"


if __name__ == "__main__":
    sys.exit(main())
