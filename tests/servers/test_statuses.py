"""What is said of a model whose version is not known: not yet, or never."""

from __future__ import annotations

import pytest

from gateway.codecs import tfs_json, tfs_proto
from gateway.errors import UnknownModel
from gateway.messages import ModelDescription, Target, VersionStatus
from gateway.routing.table import Arm, ModelRoutes, RouteTable
from gateway.servers.statuses import index_of, statuses_of

DESCRIBED = ModelDescription(model="m", version="", platform="torchserve", signatures={})


def table(*, described: bool, error: str = "") -> RouteTable:
    arm = Arm(
        name="only",
        model="m",
        backend="ts",
        backend_model="m",
        weight=1.0,
        version="",
        description=DESCRIBED if described else None,
        error=error,
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
