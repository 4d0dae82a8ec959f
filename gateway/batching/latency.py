"""How long does a batch of so many rows take?

Learned from the batches that were answered, one curve for each kind of request: requests whose tensors have the
same shapes but for their rows. Pure: `now` is an argument, in seconds.

How it works. Answers are kept by the power of two that their rows come up to, the latest `_KEPT` of each. What is
usual is their median, so one slow outlier moves it by one rank. One or two answers say
nothing yet: a model's first batch is often its slowest by far. Between two powers
it is interpolated by rows, and it never falls with more rows, because that would be noise. Above the largest that
was seen it is the largest. A power that was not seen for `_FORGET_S` is forgotten, and with it whatever made it slow:
were it not, a model that was slow once might be refused every request, and so never be seen to be fast again. And a batch
that took less than half of what the fastest of its size took makes all forgotten at once: the model is fast again.
"""

from __future__ import annotations

import math
from collections import deque

__all__ = ["Latency", "Latest"]

_KEPT = 7
_ENOUGH = 3
_FORGET_S = 30.0
_SHIFT_RATIO = 0.5


class _Power:
    """The latest answers to batches whose rows come up to one power of two."""

    __slots__ = ("_answers", "_fresh_until")

    def __init__(self) -> None:
        self._answers: deque[tuple[float, int]] = deque(maxlen=_KEPT)
        self._fresh_until = 0.0

    def note(self, now: float, rows: int, seconds: float) -> None:
        if now >= self._fresh_until:
            self._answers.clear()
        self._answers.append((seconds, rows))
        self._fresh_until = now + _FORGET_S

    def is_shifted_by(self, now: float, seconds: float) -> bool:
        """Whether a batch took so much less than all that are known, that these hold no more."""
        return self.is_known(now) and seconds < _SHIFT_RATIO * min(self._answers)[0]

    def is_known(self, now: float) -> bool:
        return now < self._fresh_until and len(self._answers) >= _ENOUGH

    def point(self) -> tuple[float, float]:
        """The mean of the rows, and the median of the seconds."""
        answers = sorted(self._answers)
        rows = sum([rows for _, rows in answers]) / len(answers)
        return rows, answers[len(answers) // 2][0]


class Latency:
    """How long batches of one kind lately took.

    Attributes:
        heard_at: When something was heard of them last, in seconds, or was asked to be.
        latest_s: What the latest took, in seconds; 0 before the first.
    """

    __slots__ = ("_powers", "heard_at", "latest_s")

    def __init__(self) -> None:
        self.heard_at = -math.inf
        self.latest_s = 0.0
        self._powers: dict[int, _Power] = {}

    def note(self, now: float, rows: int, seconds: float) -> None:
        """A batch of so many rows was answered after so many seconds."""
        self.heard_at, self.latest_s = now, seconds
        index = max(rows - 1, 0).bit_length()
        power = self._powers.get(index)
        if power is not None and power.is_shifted_by(now, seconds):
            self._powers.clear()
            power = None
        if power is None:
            self._powers[index] = power = _Power()
            self._powers = dict(sorted(self._powers.items()))
        power.note(now, rows, seconds)

    def usual_s(self, now: float, rows: int) -> float | None:
        """What half of such batches take at most, in seconds; None while nothing is known."""
        return _at(self._curve(now), rows)

    def spared_s(self, now: float, rows: int) -> float:
        """How much longer a batch of one row and one of the others take than one of so many, in seconds.

        0 while nothing is known.
        """
        curve = self._curve(now)
        one, others, all_s = [_at(curve, count) or 0.0 for count in (1, rows - 1, rows)]
        return one + others - all_s

    def _curve(self, now: float) -> list[tuple[float, float]]:
        return [power.point() for power in self._powers.values() if power.is_known(now)]


class Latest:
    """How long the latest batches of all kinds took: what there is to go by for a kind of which nothing is known."""

    __slots__ = ("_answers",)

    def __init__(self) -> None:
        self._answers: deque[tuple[float, float]] = deque(maxlen=_KEPT)

    def note(self, now: float, seconds: float) -> None:
        """A batch was answered after so many seconds."""
        self._answers.append((now, seconds))

    def usual_s(self, now: float) -> float | None:
        """What half of them took at most, in seconds; None while too little is known."""
        known = sorted([seconds for at, seconds in self._answers if now - at < _FORGET_S])
        return known[len(known) // 2] if len(known) >= _ENOUGH else None


def _at(curve: list[tuple[float, float]], rows: int) -> float | None:
    """The time of so many rows on a curve of (rows, seconds) by rows, None where it has no point."""
    below_rows, below_s = 0.0, 0.0
    for known_rows, seconds in curve:
        seconds_here = max(seconds, below_s)
        if rows <= known_rows:
            if not below_rows:
                return seconds_here
            share = (rows - below_rows) / (known_rows - below_rows)
            return below_s + share * (seconds_here - below_s)
        below_rows, below_s = known_rows, seconds_here
    return below_s if curve else None
