"""Does the memory of one request serve the next one, or does the kernel map it anew?

A tensor of some hundred KB passes through several blocks of its size. glibc gives free blocks of that size back
to the kernel and takes them again for the next request, and the kernel then maps and clears every page of
them: 250 pages for each request of 600 KB over REST, a third of what that request cost. Here up to `KEPT_BYTES`
stay with the process. What the operator has set in the environment is left as it is.
"""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Final

__all__ = ["KEPT_BYTES", "keep_freed"]

KEPT_BYTES: Final = 64 * 1024 * 1024
"""Free memory that stays ours: enough for four tensors of 6 MB at once; with 16 MiB, they were slower than before."""

_MAPPED_BYTES: Final = (
    32 * 1024 * 1024
)  # larger blocks are mapped by themselves; the most that glibc takes
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # <malloc.h>
_OPERATORS: Final = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


def keep_freed() -> bool:
    """Have the C library keep what is freed, for the life of this process; False where that is not ours to say."""
    if sys.platform != "linux" or any(name in os.environ for name in _OPERATORS):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # musl
        return False
    # Either one alone would end glibc's own adjusting of both.
    return bool(
        mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES) and mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)
    )
