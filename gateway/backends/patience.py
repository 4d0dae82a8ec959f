"""How long do we wait for what a server tells of itself and its models?"""

from __future__ import annotations

import asyncio
from typing import Final

from gateway.messages import Deadline

__all__ = ["lookup_deadline"]

_LOOKUP_TIMEOUT_S: Final = 10.0


def lookup_deadline() -> Deadline:
    """When a question that begins now is given up, all of its calls together."""
    return Deadline.after(asyncio.get_running_loop().time(), _LOOKUP_TIMEOUT_S)
