"""Does the caller want its answer compressed, and what does that give?

Only a caller that names gzip or deflate gets it: compressing costs more time than most networks do.
"""

from __future__ import annotations

import asyncio
import zlib
from typing import Final

from gateway.servers.remembered import remembered

__all__ = ["PACKED_BYTES", "encoding_of", "packed"]

PACKED_BYTES: Final = 1024
"""Smaller answers go out as they are: they fit into one packet anyway."""

PACKED_INLINE_BYTES: Final = 32 * 1024
"""Level 1 takes about 0.3 ms for these; larger ones leave the event loop (zlib lets go of the lock)."""

_LEVEL = 1  # 6 takes four times as long to make floats a tenth smaller
_LONGEST = 256  # characters of a header that somebody means
_WBITS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


@remembered
def encoding_of(accepted: str) -> str | None:
    """The encoding that an `Accept-Encoding` prefers among gzip and deflate; None for neither."""
    if len(accepted) > _LONGEST:
        return None
    weights = dict(map(_weighed, accepted.lower().split(",")))
    best = max(_WBITS, key=lambda name: weights.get(name, 0.0))
    weight = weights.get(best, 0.0)
    return best if weight > 0 and weight >= weights.get("identity", 0.0) else None


async def packed(body: bytes, encoding: str) -> bytes:
    """The body, compressed; `encoding` is one that `encoding_of` gives."""
    if len(body) <= PACKED_INLINE_BYTES:
        return zlib.compress(body, _LEVEL, _WBITS[encoding])
    return await asyncio.to_thread(zlib.compress, body, _LEVEL, _WBITS[encoding])


def _weighed(member: str) -> tuple[str, float]:
    name, _, parameter = member.partition(";")
    key, _, text = parameter.partition("=")
    if key.strip() != "q":
        return name.strip(), 1.0
    try:
        return name.strip(), float(text)
    except ValueError:
        return name.strip(), 0.0
