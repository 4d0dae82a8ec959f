"""What do we say of a model, its versions and their states?"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from gateway.codecs.oip_model import IndexedModel
from gateway.errors import InvalidRequest, NotReady, UnknownModel
from gateway.messages import ModelDescription, Target, VersionStatus
from gateway.routing.table import Arm, ModelRoutes, RouteTable

__all__ = [
    "UnknownStatus",
    "check_known",
    "describe_target",
    "index_of",
    "is_ready",
    "statuses_of",
    "tfs_statuses",
    "versions_of",
]


def describe_target(table: RouteTable, target: Target) -> ModelDescription:
    """The description of the arm that `target` leads to, under the name the caller knows.

    Raises:
        UnknownModel, UnknownLabel, NotReady: as `RouteTable.resolve`.
    """
    arm = table.resolve(target).arm
    assert arm.description is not None, "resolve only returns arms that were described"
    return replace(arm.description, model=arm.model, version=arm.version)


def check_known(table: RouteTable, target: Target) -> None:
    """Let who sent a body that cannot be read hear first that nobody would have answered it.

    Raises:
        UnknownModel: the model or the version is not served here.
    """
    with suppress(NotReady, InvalidRequest):
        table.resolve(target)


def versions_of(routes: ModelRoutes) -> tuple[str, ...]:
    """The versions that some arm's backend has described, newest first."""
    known = {arm.version for arm in routes.arms.values() if arm.description is not None}
    return tuple(sorted(known, key=_newest_first))


def statuses_of(table: RouteTable, target: Target) -> tuple[VersionStatus, ...]:
    """The state of each version (or of the one asked for), newest first.

    A version is AVAILABLE when some arm that serves it is ready. Of others we pass on what a TF Serving
    tells: that it is being loaded, has ended, or could not be loaded and why. An arm whose version is not
    known has none to report; where no arm's is, what is known of the model stands under the version "". A
    label is ignored, as TF Serving does here.

    Raises:
        UnknownModel: the model or the version is not served here.
    """
    routes = table.model(target.model)
    states = _states(list(routes.arms.values()))
    if target.version is not None:
        if target.version not in states:
            raise UnknownModel(f"got version {target.version}, versions served: {sorted(states)}")
        return (states[target.version],)
    if not states:
        return (_unversioned(list(routes.arms.values())),)
    return tuple(states[version] for version in sorted(states, key=_newest_first))


def _states(arms: list[Arm]) -> dict[str, VersionStatus]:
    """By version; what is said first of one counts."""
    ready = [
        VersionStatus(version=arm.version, state="AVAILABLE")
        for arm in arms
        if arm.version and arm.is_ready
    ]
    told = [told for arm in arms for told in arm.told if told.state != "AVAILABLE"]
    away = [_away(arm) for arm in arms if arm.version]
    states: dict[str, VersionStatus] = {}
    for status in (*ready, *told, *away):
        states.setdefault(status.version, status)
    return states


class UnknownStatus(UnknownModel):
    """A status question about a model or version that is not here, in TF Serving's words for that."""


def tfs_statuses(table: RouteTable, target: Target) -> tuple[VersionStatus, ...]:
    """As `statuses_of`.

    Raises:
        UnknownStatus: the model or the version is not served here.
    """
    try:
        return statuses_of(table, target)
    except UnknownModel as error:
        if target.version is None:
            text = f"Could not find any versions of model {target.model}"
        else:
            text = f"Could not find version {target.version} of model {target.model}"
        raise UnknownStatus(text) from error


def is_ready(routes: ModelRoutes, version: str | None = None) -> bool:
    """Whether some arm (of that version) can answer."""
    return any(arm.is_ready and version in (None, arm.version) for arm in routes.arms.values())


def index_of(table: RouteTable, *, ready_only: bool) -> list[IndexedModel]:
    """Every version of every model, as the model repository extension lists them."""
    listed = [
        IndexedModel(
            name=name,
            version=status.version,
            state="READY" if status.state == "AVAILABLE" else "UNAVAILABLE",
            reason="",
        )
        for name in sorted(table.models)
        for status in statuses_of(table, Target(model=name))
    ]
    return [entry for entry in listed if entry.state == "READY" or not ready_only]


def _away(arm: Arm) -> VersionStatus:
    return VersionStatus(
        version=arm.version, state="LOADING", error_code="UNAVAILABLE", error_message=arm.error
    )


def _unversioned(arms: list[Arm]) -> VersionStatus:
    """Of a model of which no arm's version is known, not yet or because its backend tells none."""
    if any(arm.is_ready for arm in arms):
        text = "served, but its backend tells no version"
        return VersionStatus(version="", state="AVAILABLE", error_message=text)
    return _away(arms[0])


def _newest_first(version: str) -> tuple[int, int, str]:
    # Numbers before names, the highest first.
    return (0, -int(version), "") if version.isdigit() else (1, 0, version)
