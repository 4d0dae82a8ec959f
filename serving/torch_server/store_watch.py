"""What is in the model store?

A version is a folder `<store>/<model>/<number>/` with a manifest that names a `torch` artifact; anything
else is not ours and is passed over. A manifest that cannot be read is ours to report. Versions are
published by rename, so a folder is complete when it is seen, or was damaged.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway.config import NAME
from model_store.manifest import MANIFEST, Manifest, ManifestError
from serving.torch_server.registry import Key

__all__ = ["StoreReader", "Stored"]

_VERSION = re.compile(r"0|[1-9][0-9]{0,17}")


@dataclass(frozen=True, slots=True)
class Stored:
    """One version in the store: its manifest, or what is wrong with it."""

    key: Key
    folder: Path
    manifest: Manifest | None
    problem: str = ""


class StoreReader:
    """Reads the store again and again; a manifest is only read anew when a file of its version changed."""

    def __init__(self, store: Path) -> None:
        self._store = store
        self._seen: dict[Path, tuple[str, Stored | None]] = {}

    def read(self) -> dict[Key, Stored]:
        """Every version with a `torch` artifact, and every one whose manifest cannot be read.

        Raises:
            OSError: the store cannot be listed.
        """
        seen: dict[Path, tuple[str, Stored | None]] = {}
        for folder in self._version_folders():
            traces = _traces(folder)
            known = self._seen.get(folder)
            seen[folder] = (
                known if known and known[0] == traces else (traces, _read(folder, traces))
            )
        self._store.stat()  # what goes away while it is read looks as if it were empty
        self._seen = seen
        return {stored.key: stored for _, stored in seen.values() if stored is not None}

    def _version_folders(self) -> Iterator[Path]:
        for model in sorted(self._store.iterdir()):
            if not NAME.fullmatch(model.name) or not model.is_dir():
                continue
            for folder in sorted(model.iterdir()):
                inside = folder.resolve().is_relative_to(self._store)
                if _VERSION.fullmatch(folder.name) and inside and (folder / MANIFEST).is_file():
                    yield folder


def _traces(folder: Path) -> str:
    """What changes when a file at the top of the folder does: names, sizes, inodes, times."""
    with os.scandir(folder) as entries:
        told = sorted((entry.name, *_trace(entry)) for entry in entries)
    return hashlib.sha256(repr(told).encode()).hexdigest()[:16]


def _trace(entry: os.DirEntry[str]) -> tuple[int, int, int]:
    status = entry.stat(follow_symlinks=False)
    return status.st_size, status.st_ino, status.st_mtime_ns


def _read(folder: Path, traces: str) -> Stored | None:
    key = Key(folder.parent.name, int(folder.name), traces)
    try:
        manifest = Manifest.load(folder)
    except ManifestError as exc:
        return Stored(key, folder, None, str(exc))
    return Stored(key, folder, manifest) if "torch" in manifest.artifacts else None
