"""How do the loaded versions follow what lies in the base paths?

A poll scans each base path, decides with `versions`, and carries the steps out one at a time: first load,
then unload, so that a model which answers goes on answering. A version that cannot be loaded ends with the
reason and leaves the others alone; it is tried again when its files change, not before.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from serving.tf_serving.config import ModelConfig
from serving.tf_serving.events import Report
from serving.tf_serving.served import LoadError, ReloadFailed, Servable, ServedModels
from serving.tf_serving.versions import (
    Load,
    Step,
    Unload,
    next_step,
    version_of,
    wanted_versions,
)

__all__ = ["LoadVersion", "Loader"]

LoadVersion: TypeAlias = Callable[[str, int, Path], Servable]
"""Loads (model, version, directory); raises LoadError."""

_Fingerprint: TypeAlias = frozenset[tuple[str, int, int]]

_MAX_TURN_S = 300.0
_RETIRE_TIMEOUT_S = 60.0  # longer than any call that is still worth its answer


class Loader:
    """Keeps `served` as the configuration wants it.

    Invariant: one thread at a time polls or reloads, under `_turn`, and only that one changes `served`.
    """

    def __init__(
        self,
        models: Iterable[ModelConfig],
        served: ServedModels,
        load: LoadVersion,
        *,
        report: Report,
    ) -> None:
        self._models = tuple(models)
        self._served = served
        self._load = load
        self._report = report
        self._refused: dict[tuple[str, int], _Fingerprint] = {}
        self._unreadable: set[str] = set()
        self._turn = threading.Lock()
        self._polled = threading.Condition()

    def run(self, stop: threading.Event, poll_wait_s: float) -> None:
        """Poll every `poll_wait_s` seconds until `stop` is set."""
        while not stop.wait(poll_wait_s):
            self.poll(stop)

    def poll(self, stop: threading.Event) -> None:
        """Look at every base path once and do all that follows; ends early when `stop` is set."""
        with self._turn:
            self._poll(stop)
        self.wake()

    def reload(self, models: Iterable[ModelConfig], stop: threading.Event) -> None:
        """Follow other models from now on, unload those that are not among them, and poll.

        A version that answers goes on answering, even if its model's base path is another one now.

        Raises:
            ReloadFailed: something else was being loaded for too long; nothing has changed.
        """
        with self._take_turn():
            before, self._models = self._models, tuple(models)
            self._served.configure(self._models)
            for model in before:
                if not self.follows(model.name):
                    self._follow(model, {}, stop)
            self._poll(stop)
        self.wake()

    def follows(self, name: str) -> bool:
        """Whether the configuration names this model."""
        return any(model.name == name for model in self._models)

    def wait_for(self, holds: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until something holds, which is asked again after every poll; False if it took too long."""
        with self._polled:
            return self._polled.wait_for(holds, timeout_s)

    def wake(self) -> None:
        """Let those in `wait_for` ask again."""
        with self._polled:
            self._polled.notify_all()

    @contextmanager
    def _take_turn(self) -> Iterator[None]:
        if not self._turn.acquire(timeout=_MAX_TURN_S):
            raise ReloadFailed("UNAVAILABLE", f"a load has taken more than {_MAX_TURN_S:g} s")
        try:
            yield
        finally:
            self._turn.release()

    def _poll(self, stop: threading.Event) -> None:
        for model in self._models:
            found = self._scan(model)
            if found is not None:
                self._follow(model, found, stop)

    def _follow(self, model: ModelConfig, found: dict[int, Path], stop: threading.Event) -> None:
        wanted = wanted_versions(model.policy, found)
        self._forget_refusals(model.name, found)
        self._announce(model.name, wanted)
        while not stop.is_set():
            step = self._next_step(model.name, wanted)
            if step is None:
                return
            self._take(model.name, step, found)

    def _next_step(self, model: str, wanted: frozenset[int]) -> Step | None:
        refused = frozenset(version for name, version in self._refused if name == model)
        return next_step(wanted, self._served.available(model), refused)

    def _take(self, model: str, step: Step, found: dict[int, Path]) -> None:
        match step:
            case Load(version=version):
                self._load_version(model, version, found[version])
            case Unload(version=version):
                self._unload_version(model, version)

    def _load_version(self, model: str, version: int, path: Path) -> None:
        fingerprint = _fingerprint(path)
        started = time.monotonic()
        self._served.note(model, version, "LOADING")
        try:
            servable = self._load(model, version, path)
        except LoadError as exc:
            self._refuse(model, version, fingerprint, exc)
            return
        except Exception as exc:  # noqa: BLE001 - a supervisor: a bad model must not end the others
            self._report("load_surprise", model=model, traceback=traceback.format_exc())
            error = LoadError("INTERNAL", f"{type(exc).__name__}: {exc}")
            self._refuse(model, version, fingerprint, error)
            return
        self._served.add(model, version, servable)
        self._served.note(model, version, "AVAILABLE")
        seconds = round(time.monotonic() - started, 3)
        self._report("version_available", model=model, version=version, load_s=seconds)

    def _refuse(
        self, model: str, version: int, fingerprint: _Fingerprint, error: LoadError
    ) -> None:
        self._refused[model, version] = fingerprint
        self._served.note(model, version, "END", error)
        self._report(
            "version_refused",
            model=model,
            version=version,
            error_code=error.code,
            error_message=error.message,
        )

    def _unload_version(self, model: str, version: int) -> None:
        self._served.note(model, version, "UNLOADING")
        removed = self._served.remove(model, version)
        if removed.retire(_RETIRE_TIMEOUT_S):
            removed.servable.close()
        else:  # the last call inside will free it, with the last reference
            self._report("still_in_use", model=model, version=version)
        self._served.note(model, version, "END")
        self._report("version_unloaded", model=model, version=version)

    def _announce(self, model: str, wanted: frozenset[int]) -> None:
        """Say START for what is about to be loaded, so that a slow neighbour does not hide it."""
        refused = {version for name, version in self._refused if name == model}
        for version in sorted(wanted - self._served.available(model) - refused):
            self._served.note(model, version, "START")

    def _forget_refusals(self, model: str, found: dict[int, Path]) -> None:
        for (name, version), fingerprint in list(self._refused.items()):
            if name == model and (
                version not in found or _fingerprint(found[version]) != fingerprint
            ):
                del self._refused[name, version]

    def _scan(self, model: ModelConfig) -> dict[int, Path] | None:
        """The versions in the base path; None, and everything stays as it is, if it cannot be read."""
        try:
            found = _versions_in(Path(model.base_path))
        except OSError as exc:
            if model.name not in self._unreadable:
                self._unreadable.add(model.name)
                self._report("base_path_unreadable", model=model.name, error=str(exc))
            return None
        self._unreadable.discard(model.name)
        return found


def _versions_in(base_path: Path) -> dict[int, Path]:
    """The version directories by version; of two spellings of one number the first in sorted order."""
    found: dict[int, Path] = {}
    for path in sorted(base_path.iterdir()):
        version = version_of(path.name)
        if version is not None and path.is_dir():
            found.setdefault(version, path)
    return found


def _fingerprint(version_dir: Path) -> _Fingerprint:
    """Names, sizes and times of the files: what changes when a version is repaired."""
    files: set[tuple[str, int, int]] = set()
    for path in version_dir.rglob("*"):
        try:
            status = path.stat()
        except OSError:  # it went away while we looked: the next poll will see that
            continue
        files.add((str(path), status.st_size, status.st_mtime_ns))
    return frozenset(files)
