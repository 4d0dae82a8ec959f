"""How large may a batch be, how long may it wait, and how many may be in flight?"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from gateway.config import BatchingConfig

_SAFETY_RATIO = 2.0
_MARGIN_S = 0.005  # a timer that fires late, and a loop that is busy
_REMEMBERED_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLimits:
    """The bounds of one arm's queue.

    Attributes:
        max_batch_rows: Rows in one batch. A larger request is split into several.
        max_delay_s: How long a batch that is not full may wait for more while a slot is free, counted from
            the last answer. An upper bound; 0 never waits.
        max_queued_rows: Rows waiting for a batch, over all keys. A request without rows counts as one.
        max_in_flight: Batches at the backend at the same time, at most.
        min_in_flight: How few it may come down to where more do not pay; None leaves it at the most.
    """

    max_batch_rows: int = 64
    max_delay_s: float = 0.0
    max_queued_rows: int = 4096
    max_in_flight: int = 1
    min_in_flight: int | None = None

    @classmethod
    def of(cls, config: BatchingConfig, backend_max_rows: int | None = None) -> BatchLimits:
        """The limits that a configuration asks for, within what the backend takes in one batch."""
        return cls(
            max_batch_rows=min(config.max_batch_rows, backend_max_rows or config.max_batch_rows),
            max_delay_s=config.max_delay_ms / 1000,
            max_queued_rows=config.max_queued_rows,
            max_in_flight=config.max_in_flight,
            min_in_flight=config.min_in_flight,
        )


class Slots:
    """The places at a backend, and how long batches lately held them.

    Attributes:
        max_in_flight: May be changed at any time; 0 holds everything back. Batches above a lowered
            number stay in flight.
        in_flight: Places taken.
    """

    __slots__ = ("_slowest_at", "_slowest_s", "in_flight", "max_in_flight")

    def __init__(self, max_in_flight: int) -> None:
        self.max_in_flight = max_in_flight
        self.in_flight = 0
        self._slowest_s = math.inf
        self._slowest_at = -math.inf

    @property
    def pace_s(self) -> float:
        """How long passes from one of our batches to the next because of others, in seconds; 0 where there are none."""
        return 0.0

    def turn_in_s(self, _now: float) -> float:
        """How long others are likely to have the places, in seconds from now; 0 where there are none."""
        return 0.0

    @property
    def has_room(self) -> bool:
        """Whether one more batch may leave."""
        return self.in_flight < self.max_in_flight

    @property
    def slowest_s(self) -> float:
        """The longest that a batch lately took, in seconds; infinite until one has been answered."""
        return self._slowest_s

    @property
    def reserve_s(self) -> float:
        """How long before a deadline a batch must leave to be sure to make it, in seconds.

        Infinite until a batch has been answered: while nothing is known, every wait is a risk.
        """
        return self._slowest_s * _SAFETY_RATIO + _MARGIN_S

    def acquire(self, _now: float) -> bool:
        """Take a place. The caller has seen `has_room`; False if it has gone to somebody else."""
        self.in_flight += 1
        return True

    def release(self, backend_s: float | None, now: float = 0.0) -> None:
        """Give a place back. `backend_s` is how long the answer took, None if there was none.

        The slowest time is remembered for half a minute.
        """
        self.in_flight -= 1
        if backend_s is not None:
            self.note(backend_s, now)

    def note(self, backend_s: float, now: float) -> None:
        """A batch took so long."""
        is_forgotten = now - self._slowest_at >= _REMEMBERED_S
        if is_forgotten or backend_s >= self._slowest_s:
            self._slowest_s, self._slowest_at = backend_s, now


class Lease(Protocol):
    """A part in the places of an arm that several processes share."""

    def take(self, limit: int, on_turn: Callable[[], None], /) -> bool:
        """Take one of `limit` places. If not now, `on_turn` is called once, when it may be tried again."""

    def give_back(self) -> None:
        """Give a place back."""


class SharedSlots(Slots):
    """The places at a backend that other processes take too.

    Of those it is not known how much they want, but how long they make us wait: `pace_s` is the lesser of the latest two
    times from a batch of ours to the next that waited for a turn, so that one that was held up alone changes nothing.

    Attributes:
        on_turn: Called when there may be room again.
    """

    __slots__ = ("_acquired_at", "_asked_at", "_is_waiting", "_lease", "_paces_s", "on_turn")

    def __init__(self, max_in_flight: int, lease: Lease) -> None:
        super().__init__(max_in_flight)
        self.on_turn: Callable[[], None] = _do_nothing
        self._lease = lease
        self._is_waiting = False
        self._asked_at: float | None = None
        self._acquired_at = -math.inf
        self._paces_s = (0.0, 0.0)

    @property
    def has_room(self) -> bool:
        """Whether it is worth trying: a place is free here, and others are not known to have them all."""
        return not self._is_waiting and self.in_flight < self.max_in_flight

    @property
    def slowest_s(self) -> float:
        """As in `Slots`, and until it is our turn again."""
        return self._slowest_s + self.pace_s

    @property
    def pace_s(self) -> float:
        """See `Slots`."""
        return min(self._paces_s)

    def turn_in_s(self, now: float) -> float:
        """See `Slots`."""
        return max(0.0, self._acquired_at + self.pace_s - now)

    def acquire(self, now: float) -> bool:
        """Take a place, unless the others have them all, or wait for them."""
        if not self._lease.take(self.max_in_flight, self._come):
            self._is_waiting = True
            if self._asked_at is None:
                self._asked_at = now
            return False
        self._note_pace(now)
        return super().acquire(now)

    def release(self, backend_s: float | None, now: float = 0.0) -> None:
        """Give a place back; it is the turn of those who wait for it."""
        super().release(backend_s, now)
        self._lease.give_back()

    def _note_pace(self, now: float) -> None:
        """A place was taken; where that had to wait, a batch of ours may have gone on until it began to."""
        pace_s = 0.0
        if self._asked_at is not None and self._slowest_s < math.inf:
            pace_s = now - max(self._acquired_at, self._asked_at - self._slowest_s)
        self._paces_s = (self._paces_s[1], pace_s)
        self._acquired_at, self._asked_at = now, None

    def _come(self) -> None:
        self._is_waiting = False
        self.on_turn()


def _do_nothing() -> None:
    """What is called before there is somebody to call."""
