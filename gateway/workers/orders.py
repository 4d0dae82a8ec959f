"""What is a worker told when it is started?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pydantic import TypeAdapter

__all__ = ["BEAT", "BEAT_S", "LEAVING", "UP", "Orders"]

UP = b"up\n"
LEAVING = b"leaving\n"
BEAT = b"beat\n"
"""What a worker says on its standard output: that it serves, that it is about to end, that its loop turns."""

BEAT_S: Final = 1.0
"""How often it says the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What a worker reads from its standard input.

    Attributes:
        number: Which worker it is, from 0.
        supervisor: The process that started it.
        file: The configuration file.
        good: What the file last said that could be used: a worker that is started again while the file is
            wrong serves what the others serve.
        rest, grpc: Where all workers listen, as `host:port`.
        admin: Where the supervisor asks this worker, as `unix:/path`.
        office: The path at which the supervisor is asked.
        line: The inherited socket over which REST connections are handed to it.
        locks: The inherited file whose bytes are the locks on slots.
        bells: The inherited eventfds by which workers wake each other, one for each.
    """

    number: int
    supervisor: int
    file: str
    good: str
    rest: str
    grpc: str
    admin: str
    office: str
    line: int
    locks: int
    bells: tuple[int, ...]

    def written(self) -> bytes:
        """JSON for `read`."""
        return _ORDERS.dump_json(self)

    @classmethod
    def read(cls, data: bytes) -> Orders:
        """What `written` wrote; ValueError for anything else."""
        return _ORDERS.validate_json(data)


_ORDERS: TypeAdapter[Orders] = TypeAdapter(Orders)
