"""Which worker's batch goes next, when they share the slots of an arm?

If every worker had slots of its own, N workers would put N batches of an N-th of the size at the backend. So an
arm's slots are there once, for all: a worker sends a batch when it holds one. They go round: whoever gives a
slot back and sees others wait calls the next of them, and takes its own place in the round. With one slot, a
worker gathers requests for as long as the batches of all others take, so that its batch is as large as that of
a gateway with one worker.

All that is shared are locks in the kernel (`Locks`): one for each slot, and one for each worker that waits. What
a worker holds is free when it dies, whatever it was at.

Rules, of which the tests know every interleaving that they can think of:
- Who has to wait says so before it looks for a free slot for the last time; who gives one back does so before
  it looks for who waits. So either the one or the other is seen.
- Who finds that others wait, waits behind them, though a slot may be free: one of them has been called.
- Who is called, takes a slot or does not need one any more; then, if one is left, it calls the next.
- A call may be lost, with the worker that was called: whoever has waited for long tries as if it was called.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

__all__ = ["MAX_SLOTS", "MAX_WORKERS", "Locks", "Turns"]

MAX_WORKERS: Final = 64
MAX_SLOTS: Final = 192


class Locks(Protocol):
    """Locks by number, held by workers. Each is free once its holder has died."""

    def take(self, at: int, /) -> bool:
        """Take a lock that this worker does not hold; False if another has it. Never waits."""

    def free(self, at: int, /) -> None:
        """Give a lock back."""

    def first_taken(self, start: int, end: int, /) -> int | None:
        """The first lock from `start` to before `end` that another worker holds."""


class Turns:
    """One worker's part in the round for one arm.

    Invariants: `_held` are the slots that this worker has; its lock in the row of those that wait is taken
    while `is_waiting`.

    Args:
        locks: Shared by all workers.
        base: The arm's first lock: `MAX_WORKERS` for those that wait, then `MAX_SLOTS` for the slots.
        number: This worker's.
        call: Wakes another worker, by its number; what it does then is `turn`.
    """

    def __init__(
        self, locks: Locks, base: int, number: int, *, call: Callable[[int], None]
    ) -> None:
        self.is_waiting = False
        self._locks = locks
        self._waiters = base
        self._slots = base + MAX_WORKERS
        self._number = number
        self._call = call
        self._held: list[int] = []
        self._is_turn = False

    def __repr__(self) -> str:
        state = "waits" if self.is_waiting else "is idle"
        return f"<Turns of worker {self._number}: holds {len(self._held)}, {state}>"

    @property
    def held(self) -> int:
        """Slots that this worker has."""
        return len(self._held)

    def take(self, limit: int) -> bool:
        """Take one of the arm's `limit` slots. If not now, this worker waits, and will be called."""
        if (self._is_turn or self._next() is None) and self._take_free(limit):
            self._stop_waiting()
            return True
        if not self.is_waiting:
            self._locks.take(self._waiters + self._number)
            self.is_waiting = True
        if (self._is_turn or self._next() is None) and self._take_free(limit):
            self._stop_waiting()  # it came free before we said that we wait
            return True
        return False

    def give_back(self) -> bool:
        """Give a slot back and call whoever is next. Whether that is this worker itself."""
        self._locks.free(self._held.pop())
        following = self._next()
        if following is not None:
            self._call(following)
        return following is None and self.is_waiting

    def turn(self, limit: int, use: Callable[[], None]) -> None:
        """It is this worker's turn: `use` may take a slot, or more. Then it is the next one's."""
        self._stop_waiting()
        self._is_turn = True
        try:
            use()
        finally:
            self._is_turn = False
        following = self._next()
        if following is not None and self._has_free(limit):
            self._call(following)

    def _stop_waiting(self) -> None:
        if self.is_waiting:
            self.is_waiting = False
            self._locks.free(self._waiters + self._number)

    def _next(self) -> int | None:
        """Who waits, first after this worker in the round; None if no other does."""
        own = self._waiters + self._number
        found = self._locks.first_taken(own + 1, self._waiters + MAX_WORKERS)
        if found is None:
            found = self._locks.first_taken(self._waiters, own)
        return None if found is None else found - self._waiters

    def _take_free(self, limit: int) -> bool:
        for slot in range(self._slots, self._slots + limit):
            if slot not in self._held and self._locks.take(slot):
                self._held.append(slot)
                return True
        return False

    def _has_free(self, limit: int) -> bool:
        return any(
            slot not in self._held and self._locks.first_taken(slot, slot + 1) is None
            for slot in range(self._slots, self._slots + limit)
        )
