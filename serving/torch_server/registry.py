"""Which versions should be loaded, and which unloaded, now?

Rules (pure functions of what the store holds and what the server holds; asking twice changes nothing):
- A version is known by its number and its identity: the same number published again is another one.
- A version that is wanted and not held is loaded, refused ones included: they are held, as refused.
- A version that is not wanted any more serves on until every wanted one of its model has settled and
  one of them is ready. So the last one that works is never given up for one that does not.
- When the store wants no version of a model, all of them go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

__all__ = ["Action", "Key", "Load", "Phase", "Unload", "choose_versions", "next_actions"]


class Phase(Enum):
    """Where a held version is: LOADING, then READY and UNLOADING, or REFUSED."""

    LOADING = "LOADING"
    READY = "READY"
    REFUSED = "REFUSED"
    UNLOADING = "UNLOADING"


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """One version of a model, as it was published. `identity` changes when its files do."""

    model: str
    version: int
    identity: str


@dataclass(frozen=True, slots=True)
class Load:
    """Start to load a version."""

    key: Key


@dataclass(frozen=True, slots=True)
class Unload:
    """Take a version out of service; what it has accepted is finished first."""

    key: Key


Action = Load | Unload


def choose_versions(
    stored: Iterable[Key], *, models: tuple[str, ...], latest_versions: int
) -> tuple[Key, ...]:
    """The versions to serve: of the named models (all if none is named), the newest ones (0: all)."""
    versions: dict[str, list[Key]] = {}
    for key in sorted(stored, reverse=True):
        if not models or key.model in models:
            versions.setdefault(key.model, []).append(key)
    chosen = (keys[: latest_versions or None] for keys in versions.values())
    return tuple(sorted(key for keys in chosen for key in keys))


def next_actions(wanted: Iterable[Key], held: Mapping[Key, Phase]) -> tuple[Action, ...]:
    """What to start now, so that the server comes to hold what is wanted. Loads come before unloads."""
    wanted = set(wanted)
    loads = [Load(key) for key in sorted(wanted - held.keys())]
    surplus = sorted(held.keys() - wanted)
    return (*loads, *(Unload(key) for key in surplus if _may_go(key, wanted, held)))


def _may_go(key: Key, wanted: set[Key], held: Mapping[Key, Phase]) -> bool:
    if held[key] is Phase.REFUSED:
        return True
    if held[key] is not Phase.READY:
        return False
    phases = [held.get(other, Phase.LOADING) for other in wanted if other.model == key.model]
    return not phases or (Phase.LOADING not in phases and Phase.READY in phases)
