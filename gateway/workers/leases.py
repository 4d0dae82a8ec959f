"""How do workers share the slots of an arm? By locks in the kernel, and a bell for each worker.

A lock is a byte of a file in memory that nobody writes to: POSIX record locks belong to a process, cost less than
a microsecond, and are given up by the kernel when the process ends. A bell is an eventfd that every worker
has inherited. Taking a free slot asks nobody: the supervisor is not in the way of a batch.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import struct
from collections.abc import Callable, Sequence
from typing import Final

from gateway.workers.turns import MAX_SLOTS, MAX_WORKERS, Turns

__all__ = ["Bells", "FileLocks", "Leases", "SlotLease"]

_PATIENCE_S: Final = (
    0.05  # after which a worker tries uncalled: whoever was called may hang, or be dead
)
_FLOCK: Final = struct.Struct("hhqqi4x")  # struct flock, as 64-bit Linux has it
_ARM_BITS: Final = 54
_ROOM: Final = MAX_WORKERS + MAX_SLOTS


class FileLocks:
    """`Locks` on the bytes of a file, which each worker has open under a descriptor of its own process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def take(self, at: int) -> bool:
        """See `Locks.take`."""
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, at)
        except BlockingIOError:
            return False
        return True

    def free(self, at: int) -> None:
        """See `Locks.free`."""
        fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, at)

    def first_taken(self, start: int, end: int) -> int | None:
        """See `Locks.first_taken`."""
        found = None
        while start < end and (taken := self._some_taken(start, end)) is not None:
            found = end = (
                taken  # the kernel tells of any that is taken, so we ask for an earlier one
            )
        return found

    def _some_taken(self, start: int, end: int) -> int | None:
        asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, start, end - start, 0)
        told = fcntl.fcntl(self._descriptor, fcntl.F_GETLK, asked)
        kind, _, at, _, _ = _FLOCK.unpack(told)
        return None if kind == fcntl.F_UNLCK else max(at, start)  # neighbours are one lock


class Bells:
    """One for each worker; to ring one wakes that worker's loop."""

    def __init__(self, descriptors: Sequence[int]) -> None:
        self.descriptors = descriptors

    @classmethod
    def made(cls, count: int) -> Bells:
        """New ones, for a supervisor to hand on."""
        return cls([os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) for _ in range(count)])

    def ring(self, number: int) -> None:
        """Wake one worker; once is as good as twice."""
        os.eventfd_write(self.descriptors[number], 1)

    def ring_all(self) -> None:
        """Wake every worker: one has died, and what it held may be free."""
        for number in range(len(self.descriptors)):
            self.ring(number)

    def close(self) -> None:
        """Close them here."""
        for descriptor in self.descriptors:
            os.close(descriptor)


class Leases:
    """One worker's part in all arms.

    Invariant: while an arm waits, `_on_bell` or `_on_late` comes to it.
    """

    def __init__(self, locks: FileLocks, bells: Bells, number: int) -> None:
        self._locks = locks
        self._bells = bells
        self._number = number
        self._arms: dict[tuple[str, ...], SlotLease] = {}

    def begin(self) -> None:
        """Hear the bell from now on."""
        bell = self._bells.descriptors[self._number]
        asyncio.get_running_loop().add_reader(bell, self._on_bell)

    def of(self, key: tuple[str, ...]) -> SlotLease:
        """The share in an arm's slots, by its name: model, arm and role."""
        found = self._arms.get(key)
        if found is None:
            base = _base_of(key)
            turns = Turns(self._locks, base, self._number, call=self._bells.ring)
            found = self._arms[key] = SlotLease(turns)
        return found

    def _on_bell(self) -> None:
        os.eventfd_read(self._bells.descriptors[self._number])
        for lease in self._arms.values():
            if lease.is_waiting:
                lease.turn()


class SlotLease:
    """One arm's slots, as the batching of one worker takes them (`batching.limits.Lease`).

    Two queues may have it at the same time: a new one, and the one before it that still empties.
    """

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._limit = 1
        self._waiting: list[Callable[[], None]] = []
        self._late: asyncio.TimerHandle | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether some queue waits for a slot."""
        return bool(self._waiting)

    def take(self, limit: int, on_turn: Callable[[], None]) -> bool:
        """Take one of `limit` slots; else `on_turn` is called, once, when it is worth trying again."""
        self._limit = min(limit, MAX_SLOTS)
        if self._turns.take(self._limit):
            return True
        self._waiting.append(on_turn)
        if self._late is None:
            self._late = asyncio.get_running_loop().call_later(_PATIENCE_S, self._on_late)
        return False

    def give_back(self) -> None:
        """Give one slot back."""
        if self._turns.give_back():
            asyncio.get_running_loop().call_soon(self.turn)

    def turn(self) -> None:
        """Let those that wait here try."""
        if self._late is not None:
            self._late.cancel()
            self._late = None
        waiting, self._waiting = self._waiting, []

        def use() -> None:
            for on_turn in waiting:
                on_turn()

        self._turns.turn(self._limit, use)

    def _on_late(self) -> None:
        self._late = None
        self.turn()


def _base_of(key: tuple[str, ...]) -> int:
    """Where an arm's locks are; the same in every worker, and for no other arm, as far as a hash can tell."""
    digest = hashlib.blake2b("\0".join(key).encode(), digest_size=8).digest()
    return (int.from_bytes(digest) >> (64 - _ARM_BITS)) * _ROOM
