"""Which versions are loaded, who is using them, and what state is each one in?

One thread, the loader's, writes; every calling thread reads. A model's state is an immutable value that
is replaced as a whole, so a reader needs no lock and never sees half a change. A servable is let go in
three steps: take it out of the state, wait for those who found it before, close it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol

from gateway.errors import UnknownLabel, UnknownModel
from gateway.messages import InferRequest, InferResponse, Target, VersionState, VersionStatus
from gateway.tensors import Array
from serving.tf_serving.config import ModelConfig
from serving.tf_serving.signature import ServedSignature

__all__ = [
    "Failed",
    "LoadError",
    "Loaded",
    "ModelFailed",
    "ReloadFailed",
    "Servable",
    "ServedModels",
]


class Failed(Exception):
    """Something has failed with a status of its own. `code` is the name of a gRPC status code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class LoadError(Failed):
    """A version cannot be loaded."""


class ModelFailed(Failed):
    """A model failed on a request that fits its signature."""


class ReloadFailed(Failed):
    """A configuration that can be read was not taken, or what it names has not come up."""


class Servable(Protocol):
    """One version in memory."""

    @property
    def version(self) -> int:
        """Its number."""
        ...

    @property
    def metadata(self) -> bytes:
        """The serialised answer to GetModelMetadata."""
        ...

    @property
    def signatures(self) -> Mapping[str, ServedSignature]:
        """What it can be asked, by name."""
        ...

    def predict(self, request: InferRequest) -> InferResponse:
        """Run one request in the calling thread; any number of threads may call at once."""
        ...

    def evaluate(
        self, feeds: tuple[str, ...], fetches: tuple[str, ...], values: Sequence[Array]
    ) -> tuple[Array, ...]:
        """Feed tensors of the graph and fetch others, by the graph's own names; as `predict`."""
        ...

    def close(self) -> None:
        """Free the memory; nobody may be calling."""
        ...


class Loaded:
    """A servable, and how many are using it.

    Invariants: once retired nobody may enter; `is_idle` is set exactly when nobody is inside.
    """

    def __init__(self, servable: Servable) -> None:
        self.servable = servable
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._users = 0
        self._is_retired = False

    def enter(self) -> bool:
        """Start using it; False when it has been retired, and the caller must look again."""
        with self._lock:
            if self._is_retired:
                return False
            self._users += 1
            return True

    def leave(self) -> None:
        """Stop using it."""
        with self._lock:
            self._users -= 1
            if self._is_retired and not self._users:
                self._idle.notify_all()

    def retire(self, timeout_s: float) -> bool:
        """Let nobody in any more and wait until all have left; False if some are still there."""
        with self._lock:
            self._is_retired = True
            return self._idle.wait_for(lambda: not self._users, timeout_s)


@dataclass(frozen=True, slots=True)
class _Versions:
    """One model: what is loaded, newest first, and the last known state of every version ever seen."""

    loaded: Mapping[int, Loaded] = field(default_factory=dict)
    statuses: Mapping[int, VersionStatus] = field(default_factory=dict)


class ServedModels:
    """The versions of every configured model."""

    # Invariant: the values of `_models` are never changed, only replaced, and only by one thread.

    def __init__(self, models: Iterable[ModelConfig]) -> None:
        self._labels: Mapping[str, Mapping[str, int]] = {}
        self._models: dict[str, _Versions] = {}
        self.configure(models)

    def configure(self, models: Iterable[ModelConfig]) -> None:
        """Take other labels, and models that were not there. The loader's thread only.

        The models that are not named any more keep their states; their versions are the loader's to remove.
        """
        configs = tuple(models)
        for model in configs:
            self._models.setdefault(model.name, _Versions())
        self._labels = {model.name: dict(model.labels) for model in configs}

    def check_labels(self, model: ModelConfig) -> None:
        """Refuse a label that would move to a version which cannot answer; a new label may be early.

        Raises:
            ReloadFailed: FAILED_PRECONDITION, in the real server's words.
        """
        given = self._labels.get(model.name, {})
        versions = self._models.get(model.name, _Versions())
        for label, version in sorted(model.labels.items()):
            moves = given.get(label, version) != version
            if moves and version not in versions.loaded:
                raise ReloadFailed(
                    "FAILED_PRECONDITION",
                    f"Request to assign label to version {version} of model {model.name}, which is"
                    " not currently available for inference",
                )

    def predict(self, request: InferRequest) -> InferResponse:
        """Run one request in the calling thread.

        Raises:
            UnknownModel: no such model or version is loaded.
            UnknownLabel: no such label is configured.
            CallerError: the request does not fit the model's signature.
            ModelFailed: the graph failed on these values.
        """
        loaded = self._enter(request.model, request.version, request.label)
        try:
            return loaded.servable.predict(request)
        finally:
            loaded.leave()

    @contextmanager
    def using(self, target: Target) -> Iterator[Servable]:
        """A version that is not let go until the end of the block.

        Raises:
            UnknownModel: no such model or version is loaded.
            UnknownLabel: no such label is configured.
        """
        loaded = self._enter(target.model, target.version, target.label)
        try:
            yield loaded.servable
        finally:
            loaded.leave()

    def metadata(self, target: Target) -> bytes:
        """The serialised answer to GetModelMetadata.

        Raises:
            UnknownModel: no such model or version is loaded.
            UnknownLabel: no such label is configured.
        """
        return self._find(target.model, target.version, target.label).servable.metadata

    def statuses(self, target: Target) -> tuple[VersionStatus, ...]:
        """The state of one version, or of all ever seen, newest first; a label is ignored.

        Raises:
            UnknownModel: nothing is known of that model or version.
        """
        model, version = target.model, target.version
        known = self._models.get(model, _Versions()).statuses
        if version is not None:
            if int(version) not in known:
                raise UnknownModel(f"Could not find version {version} of model {model}")
            return (known[int(version)],)
        if not known:
            raise UnknownModel(f"Could not find any versions of model {model}")
        return tuple([known[number] for number in sorted(known, reverse=True)])

    def available(self, model: str) -> frozenset[int]:
        """The versions of a model that answer requests."""
        return frozenset(self._models.get(model, _Versions()).loaded)

    def add(self, model: str, version: int, servable: Servable) -> None:
        """Let a version answer requests. The loader's thread only."""
        versions = self._models[model]
        loaded = {**versions.loaded, version: Loaded(servable)}
        newest_first = dict(sorted(loaded.items(), reverse=True))
        self._models[model] = replace(versions, loaded=newest_first)

    def remove(self, model: str, version: int) -> Loaded:
        """Let a version answer no more; the caller retires and closes it. The loader's thread only."""
        versions = self._models[model]
        loaded = dict(versions.loaded)
        removed = loaded.pop(version)
        self._models[model] = replace(versions, loaded=loaded)
        return removed

    def note(
        self, model: str, version: int, state: VersionState, error: LoadError | None = None
    ) -> None:
        """Record the state a version is in. The loader's thread only."""
        status = VersionStatus(version=str(version), state=state)
        if error is not None:
            status = replace(status, error_code=error.code, error_message=error.message)
        versions = self._models[model]
        self._models[model] = replace(versions, statuses={**versions.statuses, version: status})

    def _enter(self, model: str, version: str | None, label: str | None) -> Loaded:
        """Find a version and hold it; each retry sees a newer state, so it ends."""
        while True:
            loaded = self._find(model, version, label)
            if loaded.enter():
                return loaded

    def _find(self, model: str, version: str | None, label: str | None) -> Loaded:
        if label is not None:
            version = str(self._version_of(model, label))
        versions = self._models.get(model)
        loaded = versions.loaded if versions is not None else {}
        if version is None:
            for newest in loaded.values():
                return newest
            raise UnknownModel(f"Servable not found for request: Latest({model})")
        found = loaded.get(int(version))
        if found is None:
            raise UnknownModel(f"Servable not found for request: Specific({model}, {version})")
        return found

    def _version_of(self, model: str, label: str) -> int:
        try:
            return self._labels[model][label]
        except KeyError as exc:
            raise UnknownLabel(f"Unrecognized servable version label: {label}") from exc
