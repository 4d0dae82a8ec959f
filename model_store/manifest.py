"""What is in this version directory, who made it from what, and is it still exactly that?

A version directory `<store>/<model>/<version>/` holds ONE set of weights and its exports, each an
artifact: the SavedModel at the top (so that TF Serving can serve `<store>/<model>` as its base path),
`model.pt2` beside it, and `manifest.json`, which this module reads and writes.

How to use it, in a server:

    manifest = Manifest.load(version_dir)         # strict; ManifestError says what is wrong and where
    artifact = manifest.artifact("torch")         # ManifestError if this version has no such export
    verify(version_dir, "torch")                  # sha256 of every file of it, before anything is loaded
    serve(version_dir / artifact.entry, manifest.signature)

Rules:
- An artifact is code: a server calls `verify` before it loads one.
- Nothing here imports a framework, so that a store is read in milliseconds.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Self

from model_store.decode import DecodeError, decode, encode
from model_store.records import (
    Artifact,
    FileRecord,
    Framework,
    ModelSignature,
    ParityRecord,
    TensorEntry,
    TrainingRecord,
)

__all__ = [
    "FORMAT",
    "MANIFEST",
    "Manifest",
    "ManifestError",
    "describe_files",
    "verify",
    "versions",
]

MANIFEST = "manifest.json"
FORMAT = 1

_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_VERSION = re.compile(r"0|[1-9][0-9]{0,17}")


class ManifestError(Exception):
    """The version directory cannot be served as it is; the text names the file, what was got and wanted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Everything known of one version. `created` is UTC, ISO 8601; `fingerprint` is of all that went in."""

    format: int
    model: str
    version: int
    created: str
    description: str
    fingerprint: str
    signature: ModelSignature
    artifacts: Mapping[Framework, Artifact]
    training: TrainingRecord
    parity: ParityRecord

    @classmethod
    def load(cls, version_dir: Path) -> Self:
        """Read and check `version_dir/manifest.json`, and that it lies where it says.

        Raises:
            ManifestError: no manifest, not JSON, not this format, or it contradicts itself or its place.
        """
        path = version_dir / MANIFEST
        try:
            manifest = cls.from_json(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as exc:
            raise ManifestError(f"{path}: cannot be read: {exc}") from exc
        except ManifestError as exc:
            raise ManifestError(f"{path}: {exc}") from exc
        place = (manifest.model, str(manifest.version))
        if place != (version_dir.resolve().parent.name, version_dir.resolve().name):
            raise ManifestError(
                f"{path}: is the manifest of {'/'.join(place)}, not of this directory"
            )
        return manifest

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read and check a manifest's text.

        Raises:
            ManifestError: says where, what was got and what was wanted.
        """
        try:
            manifest = decode(cls, json.loads(text))
        except (json.JSONDecodeError, DecodeError, RecursionError) as exc:
            raise ManifestError(str(exc)) from exc
        for where, problem in _problems(manifest):
            raise ManifestError(f"{where}: {problem}")
        return manifest

    def to_json(self) -> str:
        """The text of `manifest.json`, keys in the order of the fields, one trailing newline."""
        return json.dumps(encode(self), indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    def artifact(self, framework: Framework) -> Artifact:
        """The export for `framework`.

        Raises:
            ManifestError: this version was published without it.
        """
        found = self.artifacts.get(framework)
        if found is None:
            known = ", ".join(sorted(self.artifacts)) or "none"
            raise ManifestError(
                f"{self.model}/{self.version}: got {framework!r}, it has artifacts for: {known}"
            )
        return found


def versions(store: Path, model: str) -> tuple[int, ...]:
    """The versions of `model` in the store, ascending; empty when it has none or is unknown.

    Publishing renames a finished directory, so a directory that is listed here is complete, or was damaged.
    """
    folder = store / model
    if not _MODEL.fullmatch(model) or not folder.is_dir():
        return ()
    names = (entry.name for entry in folder.iterdir() if entry.is_dir())
    return tuple(sorted(int(name) for name in names if _VERSION.fullmatch(name)))


def verify(version_dir: Path, framework: Framework) -> None:
    """Check every file of one artifact against the manifest; call it before anything is loaded.

    Raises:
        ManifestError: names the first file that is missing or differs, what was got and what was wanted.
    """
    artifact = Manifest.load(version_dir).artifact(framework)
    for name, wanted in artifact.files.items():
        path = version_dir / name
        got = _describe_file(path)
        if got != wanted:
            raise ManifestError(
                f"{path}: got sha256 {got.sha256} ({got.bytes} bytes),"
                f" the manifest wants {wanted.sha256} ({wanted.bytes} bytes)"
            )


def describe_files(version_dir: Path, names: tuple[str, ...]) -> dict[str, FileRecord]:
    """The records of these files, relative to `version_dir`, in sorted order.

    Raises:
        ManifestError: one of them is missing, or is not a regular file.
    """
    return {name: _describe_file(version_dir / name) for name in sorted(names)}


def _describe_file(path: Path) -> FileRecord:
    if path.is_symlink() or not path.is_file():
        raise ManifestError(f"{path}: missing, or not a regular file")
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return FileRecord(sha256=digest, bytes=file.tell())
    except OSError as exc:
        raise ManifestError(f"{path}: cannot be read: {exc}") from exc


def _problems(manifest: Manifest) -> list[tuple[str, str]]:
    problems: list[tuple[str, str]] = []
    if manifest.format != FORMAT:
        problems.append(("format", f"got {manifest.format}, this code reads {FORMAT}"))
    if not _MODEL.fullmatch(manifest.model):
        problems.append(("model", f"got {manifest.model!r}, names match {_MODEL.pattern}"))
    if not _VERSION.fullmatch(str(manifest.version)):
        problems.append(("version", f"got {manifest.version}, wanted 0 or more"))
    if not _SHA256.fullmatch(manifest.fingerprint):
        problems.append(("fingerprint", f"got {manifest.fingerprint!r}, wanted 64 hex digits"))
    if not _is_utc(manifest.created):
        problems.append(("created", f"got {manifest.created!r}, wanted a UTC time in ISO 8601"))
    problems += _signature_problems(manifest.signature)
    for name, artifact in manifest.artifacts.items():
        problems += _artifact_problems(f"artifacts.{name}", artifact)
    return problems


def _is_utc(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).utcoffset() == timedelta(0)
    except ValueError:
        return False


def _signature_problems(signature: ModelSignature) -> list[tuple[str, str]]:
    problems: list[tuple[str, str]] = []
    bounds: dict[str, tuple[int, int]] = {}
    for side, entries in (("inputs", signature.inputs), ("outputs", signature.outputs)):
        if not entries:
            problems.append((f"signature.{side}", "got none, wanted at least one"))
        if len({entry.name for entry in entries}) != len(entries):
            problems.append((f"signature.{side}", "a name is given twice"))
        for index, entry in enumerate(entries):
            where = f"signature.{side}[{index}]"
            problems += [(where, text) for text in _entry_problems(entry, bounds)]
    return problems


def _entry_problems(entry: TensorEntry, bounds: dict[str, tuple[int, int]]) -> list[str]:
    problems: list[str] = []
    open_axes = [axis for axis, size in enumerate(entry.shape) if size == -1]
    if any(size < -1 for size in entry.shape):
        problems.append(f"got shape {list(entry.shape)}, wanted sizes, and -1 where dynamic")
    if [dim.axis for dim in entry.dynamic] != open_axes:
        problems.append(
            f"got bounds for axes {[d.axis for d in entry.dynamic]}, wanted {open_axes}"
        )
    for dim in entry.dynamic:
        if not 0 <= dim.min <= dim.max:
            problems.append(
                f"{dim.name}: got bounds {dim.min} to {dim.max}, wanted 0 <= min <= max"
            )
        if bounds.setdefault(dim.name, (dim.min, dim.max)) != (dim.min, dim.max):
            problems.append(f"{dim.name}: other bounds than in another tensor")
    return problems


def _artifact_problems(where: str, artifact: Artifact) -> list[tuple[str, str]]:
    problems: list[tuple[str, str]] = []
    if not artifact.files:
        problems.append((f"{where}.files", "got none, wanted every file of the artifact"))
    if artifact.entry != "." and artifact.entry not in artifact.files:
        problems.append((f"{where}.entry", f"got {artifact.entry!r}, which is not among its files"))
    for name, record in artifact.files.items():
        if not _is_inside(name):
            problems.append((f"{where}.files", f"got {name!r}, wanted a path inside the directory"))
        if not _SHA256.fullmatch(record.sha256) or record.bytes < 0:
            problems.append((f"{where}.files[{name!r}]", "wanted 64 hex digits and a size"))
    return problems


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return name == str(path) and not path.is_absolute() and ".." not in path.parts and name != "."
