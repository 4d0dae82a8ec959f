"""When has a batch been at its replica for so long that another replica shall be asked too? Pure: time is an argument.

    size_of       which batches should take equally long?
    AnswerTimes   how long do 95 of 100 of them take at most?
    Hedging       so how long to wait now, and may one more batch be sent?

Rules:
- It is learned from the latest answers: old ones are forgotten, and a single slow one decides nothing.
- Learned from is only the first call of a batch, those that a hedge outran included: one of them took longer
  than the p95 of its time, and ranks there. Leaving it out would make the p95 shorter with every hedge.
- Each batch earns a part of a hedge and each hedge takes a whole one, so that the calls that hedging adds are
  bounded when everything is slow at once, which no second replica mends.
"""

from __future__ import annotations

import bisect
import math
from collections import deque
from typing import Final, TypeAlias

from gateway.messages import InferRequest

__all__ = [
    "LATEST",
    "MAX_AGE_S",
    "MAX_SAVED",
    "MIN_ANSWERS",
    "AnswerTimes",
    "Hedging",
    "Size",
    "size_of",
]

LATEST: Final = 200
MAX_AGE_S: Final = 300.0
MIN_ANSWERS: Final = 40  # so that two slow ones of them decide nothing
MAX_SAVED: Final = 10.0

_PERCENT: Final = 95

Size: TypeAlias = tuple[str, int, int]
"""Model, and the powers of two that hold a batch's rows and the elements of one of them."""


def size_of(batch: InferRequest) -> Size:
    """What decides how long a batch takes: a model that takes sequences has them of any length."""
    # By shapes, not arrays: what was joined is still apart, and would be copied.
    shapes = [tensor.shape for tensor in batch.inputs]
    rows = max([1, *(shape[0] for shape in shapes if shape)])
    elements = sum(math.prod(shape) for shape in shapes)
    return batch.model, (rows - 1).bit_length(), (elements // rows).bit_length()


class AnswerTimes:
    """How long the latest answers took: `LATEST` of them at most, none older than `MAX_AGE_S`."""

    # Invariant: `_sorted` holds the seconds of `_latest`, which is in order of time.

    def __init__(self) -> None:
        self._latest: deque[tuple[float, float]] = deque()
        self._sorted: list[float] = []

    def add(self, seconds: float, *, now: float) -> None:
        """An answer took so long, or longer."""
        self._latest.append((now, seconds))
        bisect.insort(self._sorted, seconds)
        if len(self._latest) > LATEST:
            self._forget_oldest()

    def p95_s(self, now: float) -> float | None:
        """As long as 95 of 100 answers took at most; None while there are fewer than `MIN_ANSWERS`."""
        while self._latest and self._latest[0][0] < now - MAX_AGE_S:
            self._forget_oldest()
        count = len(self._sorted)
        if count < MIN_ANSWERS:
            return None
        return self._sorted[(count * _PERCENT + 99) // 100 - 1]

    def _forget_oldest(self) -> None:
        _, seconds = self._latest.popleft()
        del self._sorted[bisect.bisect_left(self._sorted, seconds)]


class Hedging:
    """What is known of one backend, and how many hedges it may still be sent."""

    # Invariants: `_saved` is in [0, `MAX_SAVED`]; hedges taken ≤ `max_ratio` × batches seen.

    def __init__(self, max_ratio: float) -> None:
        """Allow at most so many hedges for each batch, from (0, 1]."""
        self._max_ratio = max_ratio
        self._saved = 0.0
        self._times: dict[Size, AnswerTimes] = {}

    def start(self, size: Size, *, now: float, until: float) -> float | None:
        """A batch leaves: seconds after which to send it again, None for never.

        Never: as long as too little is known, and where `until`, its deadline, comes first.
        """
        self._saved = min(self._saved + self._max_ratio, MAX_SAVED)
        times = self._times.get(size)
        p95_s = None if times is None else times.p95_s(now)
        return None if p95_s is None or now + p95_s >= until else p95_s

    def take(self) -> bool:
        """Take one hedge from the budget; False where it has none."""
        if self._saved < 1.0:
            return False
        self._saved -= 1.0
        return True

    def learn(self, size: Size, seconds: float, *, now: float) -> None:
        """The first call of a batch was answered after so long, or was outrun then."""
        times = self._times.get(size)
        if times is None:
            times = self._times[size] = AnswerTimes()
        times.add(seconds, now=now)
