"""What becomes of memory that was freed, seen from a process of its own: the setting is for a process's life."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_MEASURE = """
import resource
from gateway.memory import keep_freed

def touched():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        blocks = [b"x" * size for size in (600_000, 2_400_000, 6_000_000)]
        del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

kept = keep_freed()
touched()
print(kept, touched())
"""
_PAGES = 50 * 9_000_000 // 4096


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc is set")
@pytest.mark.parametrize(
    ("set_by_the_operator", "kept"),
    [
        ({}, True),
        ({"MALLOC_MMAP_THRESHOLD_": "65536"}, False),
        ({"GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=65536"}, False),
    ],
)
def test_what_was_freed_is_used_again(
    root: Path, set_by_the_operator: dict[str, str], *, kept: bool
) -> None:
    """Without asking the kernel for its pages again; unless the operator has said otherwise."""
    ran = subprocess.run(
        [sys.executable, "-c", _MEASURE],
        env={"PYTHONPATH": str(root), **set_by_the_operator},
        capture_output=True,
        text=True,
        check=True,
    )
    said, touched = ran.stdout.split()
    assert said == str(kept)
    if kept:
        assert int(touched) < _PAGES // 100
    else:
        assert int(touched) > _PAGES // 2
