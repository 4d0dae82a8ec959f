"""How does a finished version appear in the store? All at once, or not at all.

A builder makes the version aside, under `<store>/.build/`, on the same file system. `publish` writes the
manifest, forces everything to disk and renames the directory into place, so that a server that polls the
store sees a complete version or none, and a version that was seen never changes.
"""

from __future__ import annotations

import dataclasses
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from model_store.manifest import MANIFEST, Manifest, versions

__all__ = ["AlreadyPublished", "build_folder", "publish", "publish_next"]

BUILD = ".build"

_FOLDER_MODE = 0o755  # servers run as other users than the builder
_FILE_MODE = 0o644

# Publishers that race for the same number each win once, so this many could publish at the same moment.
_MAX_RACES = 64


class AlreadyPublished(Exception):
    """The version exists; it is never overwritten."""


@contextmanager
def build_folder(store: Path, model: str) -> Iterator[Path]:
    """A new folder to build in, on the store's file system, removed with whatever is left in it."""
    parent = store / BUILD
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{model}-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def publish(staged: Path, store: Path, manifest: Manifest) -> Path:
    """Rename `staged` to `<store>/<model>/<version>` and return that; the manifest is written into it.

    Raises:
        AlreadyPublished: that version exists. `staged` is left as it was, but for its manifest.
        OSError: the disk is full, or `staged` lies on another file system.
    """
    target = store / manifest.model / str(manifest.version)
    if target.exists():  # rename would replace a directory that is empty
        raise AlreadyPublished(f"{target} exists")
    (staged / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
    _settle(staged)
    target.parent.mkdir(exist_ok=True)
    try:
        staged.rename(target)
    except OSError as exc:
        if exc.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            raise AlreadyPublished(f"{target} exists") from exc
        raise
    _sync(target.parent)
    return target


def publish_next(staged: Path, store: Path, manifest: Manifest) -> Manifest:
    """Publish as the version after the newest, whatever `manifest.version` says; return what was published.

    Raises:
        AlreadyPublished: others took the number every time.
        OSError: as `publish`.
    """
    for attempt in range(_MAX_RACES):
        number = max(versions(store, manifest.model), default=0) + 1
        numbered = dataclasses.replace(manifest, version=number)
        try:
            publish(staged, store, numbered)
        except AlreadyPublished:
            if attempt == _MAX_RACES - 1:
                raise
        else:
            break
    return numbered


def _settle(folder: Path) -> None:
    """Make everything below `folder` readable by others, and force it to disk, files before folders."""
    for path in sorted(folder.rglob("*"), reverse=True):
        path.chmod(_FOLDER_MODE if path.is_dir() else _FILE_MODE)
        _sync(path)
    folder.chmod(_FOLDER_MODE)
    _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
