"""Packages for tests that no compiler wrote."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from typing import TypeAlias

Entries: TypeAlias = Mapping[str, bytes] | Mapping[zipfile.ZipInfo, bytes]

__all__ = ["LIBRARY", "archive", "package", "rewrite"]

LIBRARY = "m/data/aotinductor/model/c0ffee.wrapper.so"
NOTES = LIBRARY.removesuffix(".so") + "_metadata.json"
_TARGET = {"AOTI_DEVICE_KEY": "cpu", "AOTI_MACHINE": "x86_64"}


def archive(entries: Entries) -> bytes:
    """A zip of these entries."""
    return _append(b"", entries)


def _append(data: bytes, entries: Entries) -> bytes:
    file = io.BytesIO(data)
    with zipfile.ZipFile(file, "a") as out:
        for name, content in entries.items():
            out.writestr(name, content)
    return file.getvalue()


def package(
    library: bytes = b"not native code",
    *,
    target: Mapping[str, str] = _TARGET,
    more: Entries | None = None,
) -> bytes:
    """What looks like a package until it is loaded."""
    plain = archive({LIBRARY: library, NOTES: json.dumps(target).encode()})
    return _append(plain, more or {})


def rewrite(data: bytes, library: bytes) -> bytes:
    """A compiled package with another library in the place of its own."""
    with zipfile.ZipFile(io.BytesIO(data)) as old:
        entries = {
            info.filename: library if info.filename.endswith(".wrapper.so") else old.read(info)
            for info in old.infolist()
        }
    return archive(entries)
