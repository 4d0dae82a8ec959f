"""What was measured on, and with what? The machine, the commit and the versions that a report names."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

__all__ = ["commit", "machine", "versions"]

_ROOT = Path(__file__).resolve().parent.parent.parent
_NAMED = (
    "tandem-gateway",
    "aiohttp",
    "grpcio",
    "httptools",
    "numpy",
    "orjson",
    "uvicorn",
    "uvloop",
)


def machine() -> Mapping[str, str | int | float]:
    """Processor, cores that we may use, memory, system and interpreter."""
    return {
        "processor": _first(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo")) or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(
            int(_first(r"MemTotal:\s*(\d+) kB", Path("/proc/meminfo")) or 0) / 2**20, 1
        ),
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", platform.system()),
        "kernel": platform.release(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }


def commit() -> str:
    """The commit that is checked out, with `+changes` if files that git knows differ from it."""
    head = _git("rev-parse", "--short=12", "HEAD")
    return f"{head}+changes" if _git("status", "--porcelain", "--untracked-files=no") else head


def versions() -> Mapping[str, str]:
    """Of the packages that the gateway's speed depends on."""
    return {name: version(name) for name in _NAMED}


def _first(pattern: str, file: Path) -> str | None:
    found = re.search(pattern, file.read_text(encoding="utf-8"))
    return None if found is None else found[1].strip()


def _git(*arguments: str) -> str:
    ran = subprocess.run(
        ["git", *arguments],  # noqa: S607  # from PATH
        cwd=_ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return ran.stdout.strip()
