"""May this package be loaded at all?

A `.pt2` package is a zip that holds native code: loading it runs it. Before that, in the worker process:

1. every file of the artifact has the size and the sha256 that the manifest says, read through an open
   descriptor; the loader gets that same descriptor, so a file swapped in between is not what it opens;
2. the zip unpacks into a folder of its own, within bounds, and holds nothing that would be unpickled;
3. it was compiled for the device that it shall run on, and for this kind of machine.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, TypeAlias

from model_store.records import FileRecord

__all__ = ["Limits", "PackageRefused", "Reason", "check_archive", "choose_device", "open_verified"]

_READ_BYTES = 1 << 20


Reason: TypeAlias = Literal[
    "manifest",  # it cannot be read
    "integrity",  # a file is not what the manifest says
    "archive",  # not a package, out of bounds, or unsafe to unpack
    "device",  # built for another device or machine
    "load",  # torch cannot load it
    "died",  # the worker process crashed, or took too long, while loading and warming
    "contract",  # it fails on zeros, or its outputs are not what the manifest says
]


class PackageRefused(Exception):
    """The package is not loaded; the text says what was got and what was wanted.

    Attributes:
        reason: The metric label, from a closed set.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds on what unpacking a package may cost."""

    max_entries: int = 10_000
    max_unpacked_bytes: int = 64 * 1024**3
    max_ratio: int = 200  # of unpacked to packed bytes; weights hardly shrink, code by 10 or so
    max_config_bytes: int = 16 * 1024**2


def choose_device(asked: str, built_for: str) -> Literal["cpu", "cuda"]:
    """Where to run a package that was `built_for` a device, when the operator `asked` for one.

    Raises:
        PackageRefused: it was built for the other one.
    """
    device: Literal["cpu", "cuda"] = "cuda" if "cuda" in (asked, built_for) else "cpu"
    if asked not in ("auto", device) or built_for not in ("any", device):
        raise PackageRefused("device", f"was built for {built_for}, the server takes {asked}")
    return device


def open_verified(folder: Path, entry: str, files: Mapping[str, FileRecord]) -> BinaryIO:
    """Verify all files of an artifact and return its entry, open, at the start.

    Raises:
        PackageRefused: a file is missing, is a link, leaves the folder, or differs from its record.
    """
    kept: BinaryIO | None = None
    for name, record in files.items():
        file = _open_inside(folder, name)
        try:
            _check_digest(file, name, record)
        except PackageRefused:
            file.close()
            raise
        if name == entry:
            kept = file
        else:
            file.close()
    if kept is None:
        raise PackageRefused("integrity", f"the manifest's entry {entry!r} is not among its files")
    return kept


def _open_inside(folder: Path, name: str) -> BinaryIO:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise PackageRefused("integrity", f"{name}: leaves the version's folder")
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as exc:
        raise PackageRefused("integrity", f"{name}: cannot be opened: {exc.strerror}") from exc
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise PackageRefused("integrity", f"{name}: is not a regular file")
    return os.fdopen(descriptor, "rb")


def _check_digest(file: BinaryIO, name: str, record: FileRecord) -> None:
    digest = hashlib.sha256()
    size = 0
    while chunk := file.read(_READ_BYTES):
        digest.update(chunk)
        size += len(chunk)
    file.seek(0)
    if (digest.hexdigest(), size) != (record.sha256, record.bytes):
        raise PackageRefused(
            "integrity",
            f"{name}: got sha256 {digest.hexdigest()} ({size} bytes),"
            f" the manifest wants {record.sha256} ({record.bytes} bytes)",
        )


def check_archive(file: BinaryIO, *, device: str, machine: str, limits: Limits) -> None:
    """Check a package's archive without unpacking it; `file` is left at the start.

    Raises:
        PackageRefused: not a zip, out of bounds, unsafe names, pickled content, or for another device.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            infos = archive.infolist()
            _check_bounds(infos, limits)
            _check_names(infos)
            _check_configs(archive, infos, limits)
            _check_target(archive, infos, device, machine)
    # A damaged archive raises nearly anything out of zipfile, zlib and struct; here it is all one case.
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError) as exc:
        raise PackageRefused("archive", f"cannot be read as a package: {exc}") from exc
    file.seek(0)


def _check_bounds(infos: list[zipfile.ZipInfo], limits: Limits) -> None:
    if len(infos) > limits.max_entries:
        raise PackageRefused(
            "archive", f"got {len(infos)} entries, at most {limits.max_entries} are taken"
        )
    unpacked = sum(info.file_size for info in infos)
    if unpacked > limits.max_unpacked_bytes:
        raise PackageRefused(
            "archive", f"unpacks to {unpacked} bytes, at most {limits.max_unpacked_bytes} are taken"
        )
    packed = sum(info.compress_size for info in infos)
    if unpacked > limits.max_ratio * max(packed, 1):
        raise PackageRefused(
            "archive",
            f"unpacks {packed} bytes to {unpacked}, at most {limits.max_ratio} times are taken",
        )


def _check_names(infos: list[zipfile.ZipInfo]) -> None:
    seen: set[str] = set()
    for info in infos:
        name = info.filename
        # `orig_filename` is what is in the archive; zipfile cuts `filename` at a NUL.
        unsafe = name != info.orig_filename or "\\" in name or name.startswith("/")
        if unsafe or ".." in name.split("/") or ":" in name.split("/")[0]:
            raise PackageRefused(
                "archive", f"entry {info.orig_filename!r} leaves the folder it is unpacked to"
            )
        if name in seen:
            raise PackageRefused("archive", f"entry {name!r} is there twice")
        seen.add(name)
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise PackageRefused("archive", f"entry {name!r} is neither a file nor a folder")
        if info.flag_bits & 0x1:
            raise PackageRefused("archive", f"entry {name!r} is encrypted")


def _check_configs(archive: zipfile.ZipFile, infos: list[zipfile.ZipInfo], limits: Limits) -> None:
    for info in infos:
        if info.filename.endswith((".pkl", ".pickle")):
            raise PackageRefused("archive", f"entry {info.filename!r} would be unpickled")
        if not info.filename.endswith("_config.json"):
            continue
        if info.file_size > limits.max_config_bytes:
            raise PackageRefused(
                "archive",
                f"entry {info.filename!r} has {info.file_size} bytes,"
                f" at most {limits.max_config_bytes} are taken",
            )
        if _asks_for_pickle(_read_json(archive, info)):
            raise PackageRefused(
                "archive", f"entry {info.filename!r} says use_pickle: it would be unpickled"
            )


def _read_json(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> object:
    try:
        return json.loads(archive.read(info))
    except RecursionError as exc:
        raise PackageRefused("archive", f"entry {info.filename!r} is nested too deeply") from exc


def _asks_for_pickle(value: object) -> bool:
    # Without recursion: how deep it goes is the package's choice.
    left = [value]
    while left:
        match left.pop():
            case dict() as mapping:
                if mapping.get("use_pickle"):
                    return True
                left.extend(mapping.values())
            case list() as values:
                left.extend(values)
    return False


def _check_target(
    archive: zipfile.ZipFile, infos: list[zipfile.ZipInfo], device: str, machine: str
) -> None:
    libraries = [info.filename for info in infos if info.filename.endswith(".wrapper.so")]
    if len(libraries) != 1 or "/data/aotinductor/model/" not in libraries[0]:
        raise PackageRefused(
            "archive", f"got the compiled models {libraries}, wanted one named 'model'"
        )
    notes = libraries[0].removesuffix(".so") + "_metadata.json"
    info = next((info for info in infos if info.filename == notes), None)
    told = _read_json(archive, info) if info is not None and info.file_size < _READ_BYTES else None
    if not isinstance(told, dict):
        raise PackageRefused(
            "archive", f"entry {notes!r} is missing, or is not what a compiler wrote"
        )
    for key, wanted in (("AOTI_DEVICE_KEY", device), ("AOTI_MACHINE", machine)):
        if told.get(key) != wanted:
            raise PackageRefused(
                "device", f"{key}: got {told.get(key)!r}, this worker wants {wanted!r}"
            )
