"""What does a repository index say of one model's versions, in TF Serving's words? Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway.codecs.oip_model import IndexedModel, newest_first
from gateway.errors import UnknownModel
from gateway.messages import VersionState, VersionStatus

__all__ = ["statuses_of"]

_UNLOADED = "unloaded"  # the reason that Triton gives where nothing went wrong

_STATES: Mapping[str, VersionState] = {
    "READY": "AVAILABLE",
    "LOADING": "LOADING",
    "UNLOADING": "UNLOADING",
    "UNAVAILABLE": "END",
}


def statuses_of(
    index: Sequence[IndexedModel], model: str, backend: str
) -> tuple[VersionStatus, ...]:
    """Every version of `model` in a backend's index, newest first.

    Raises:
        UnknownModel: the index does not list the model.
    """
    found = {entry.version: entry for entry in index if entry.name == model}
    if not found:
        raise UnknownModel(f"backend {backend} has no model {model!r}")
    # Triton lists a model that it has not loaded with an empty version: known, but no version is.
    return tuple(_status(found[version]) for version in newest_first(found) if version)


def _status(entry: IndexedModel) -> VersionStatus:
    state = entry.state.rpartition(".")[2]  # MLServer's gRPC spells it "State.READY"
    failed = state == "UNAVAILABLE" and entry.reason not in ("", _UNLOADED)
    return VersionStatus(
        version=entry.version,
        state=_STATES.get(state, "END"),
        error_code="UNAVAILABLE" if failed else "OK",
        error_message=entry.reason if failed else "",
    )
