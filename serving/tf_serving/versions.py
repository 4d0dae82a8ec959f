"""Which versions of a model should be served, and what is the next step towards that?

Pure and stateless: the same snapshot always gives the same step, so a loader may stop and start again at
any point. The rule is TensorFlow Serving's default, availability first: a version that is no longer
wanted stays until one that is wanted can answer.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TypeAlias, assert_never

__all__ = [
    "AllVersions",
    "Latest",
    "Load",
    "Policy",
    "Specific",
    "Step",
    "Unload",
    "next_step",
    "version_of",
    "wanted_versions",
]

_INT64_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Latest:
    """The `count` newest versions."""

    count: int = 1


@dataclass(frozen=True, slots=True)
class AllVersions:
    """Every version."""


@dataclass(frozen=True, slots=True)
class Specific:
    """These versions, as far as they are there."""

    versions: frozenset[int]


Policy: TypeAlias = Latest | AllVersions | Specific


@dataclass(frozen=True, slots=True)
class Load:
    """Bring this version into memory."""

    version: int


@dataclass(frozen=True, slots=True)
class Unload:
    """Let this version go."""

    version: int


Step: TypeAlias = Load | Unload


def version_of(directory_name: str) -> int | None:
    """The version a directory holds, None if its name is no version: `0005` is 5, `7x` is none."""
    if not (directory_name.isascii() and directory_name.isdigit()):
        return None
    version = int(directory_name)
    return version if version <= _INT64_MAX else None


def wanted_versions(policy: Policy, found: Collection[int]) -> frozenset[int]:
    """The versions to serve, of those found in the base path."""
    match policy:
        case Latest(count=count):
            return frozenset(sorted(found, reverse=True)[:count])
        case AllVersions():
            return frozenset(found)
        case Specific(versions=versions):
            return versions & frozenset(found)
    assert_never(policy)


def next_step(
    wanted: frozenset[int], available: frozenset[int], refused: frozenset[int]
) -> Step | None:
    """The next step towards serving exactly `wanted`, None when nothing is left to do.

    Args:
        wanted: The versions to serve.
        available: The versions that answer requests now.
        refused: Versions that could not be loaded as they are; they are not tried again.

    Returns:
        Unload the oldest surplus version if that leaves a wanted one answering, or if none is wanted;
        else load the newest missing one.
    """
    surplus = available - wanted
    if surplus and (not wanted or wanted & available):
        return Unload(min(surplus))
    missing = wanted - available - refused
    return Load(max(missing)) if missing else None
