"""What is said of a model's versions: those that are served, those that were, and where none is known."""

from __future__ import annotations

import pytest

from gateway.codecs import tfs_json, tfs_proto
from gateway.errors import NotReady, UnknownModel
from gateway.messages import ModelDescription, Target, VersionStatus
from gateway.routing.table import Arm, ModelRoutes, RouteTable
from gateway.servers.statuses import index_of, statuses_of

ENDED = VersionStatus(version="2", state="END", error_code="OUT_OF_RANGE", error_message="torn")
TOLD = (ENDED, VersionStatus(version="1", state="AVAILABLE"))
DESCRIBED = ModelDescription(model="m", version="", platform="torchserve", signatures={})


def table(
    *, described: bool, error: str = "", version: str = "", told: tuple[VersionStatus, ...] = ()
) -> RouteTable:
    arm = Arm(
        name="only",
        model="m",
        backend="ts",
        backend_model="m",
        weight=1.0,
        version=version,
        description=DESCRIBED if described else None,
        error=error,
        told=told,
    )
    return RouteTable(models={"m": ModelRoutes(name="m", arms={"only": arm})})


@pytest.mark.parametrize(
    ("served", "state", "code", "message"),
    [
        (table(described=True), "AVAILABLE", "OK", "served, but its backend tells no version"),
        (table(described=True, error="away"), "LOADING", "UNAVAILABLE", "away"),
        (table(described=False, error="never seen"), "LOADING", "UNAVAILABLE", "never seen"),
    ],
    ids=["ready", "away", "not described"],
)
def test_a_model_without_a_version_has_a_status(
    served: RouteTable, state: str, code: str, message: str
) -> None:
    """In every dialect, and none of a version that was asked for."""
    statuses = statuses_of(served, Target(model="m"))
    assert statuses == (
        VersionStatus(version="", state=state, error_code=code, error_message=message),  # type: ignore[arg-type]  # a state
    )
    assert message.encode() in tfs_json.encode_status(statuses)
    (told,) = tfs_proto.decode_status(tfs_proto.encode_status(statuses))
    assert (told.state, told.error_code, told.error_message) == (state, code, message)
    (indexed,) = index_of(served, ready_only=False)
    assert (indexed.version, indexed.state == "READY") == ("", state == "AVAILABLE")
    with pytest.raises(UnknownModel):
        statuses_of(served, Target(model="m", version="1"))


def test_what_became_of_other_versions_is_passed_on() -> None:
    served = table(described=True, version="1", told=TOLD)
    assert statuses_of(served, Target(model="m")) == TOLD
    assert statuses_of(served, Target(model="m", version="2")) == (ENDED,)


def test_an_available_version_that_no_arm_serves_is_not_ours() -> None:
    told = (VersionStatus(version="3", state="AVAILABLE"), *TOLD)
    assert statuses_of(table(described=True, version="1", told=told), Target(model="m")) == TOLD


def test_a_pinned_version_that_ended_says_so() -> None:
    served = table(described=False, error="not served", version="2", told=(ENDED,))
    assert statuses_of(served, Target(model="m")) == (ENDED,)


def test_a_model_whose_versions_have_all_ended_is_unknown() -> None:
    with pytest.raises(UnknownModel, match="ended"):
        table(described=False, error="not served", told=(ENDED,)).resolve(Target(model="m"))


def test_a_model_that_is_being_loaded_is_not_ready() -> None:
    loading = VersionStatus(version="3", state="LOADING")
    with pytest.raises(NotReady):
        table(described=False, error="not served", told=(loading, ENDED)).resolve(Target(model="m"))
