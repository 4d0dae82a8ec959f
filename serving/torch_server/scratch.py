"""Where do workers unpack their packages, and who cleans up after a server that was killed?

Each server has one folder, locked while it lives. A folder that nobody has locked was left behind by a
server that could not clean up, and the next one to start removes it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["scratch_folder"]

_PREFIX = "tandem-torch-"


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder of this process alone, removed at the end; abandoned ones are removed at the start."""
    parent = Path(tempfile.gettempdir())
    # One at a time, so that a folder which is not locked yet is not taken for an abandoned one.
    with _locked(parent / f".{_PREFIX}{os.getuid()}.lock"):
        _remove_abandoned(parent)
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        own = _lock(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(own)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _lock(folder: Path) -> int:
    """Lock a folder; BlockingIOError if it is locked already. The lock ends with the descriptor."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _remove_abandoned(parent: Path) -> None:
    for folder in parent.glob(f"{_PREFIX}*"):
        try:
            descriptor = _lock(folder)
        except OSError:
            continue  # in use, or not ours to remove
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)
