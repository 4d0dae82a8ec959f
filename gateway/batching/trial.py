"""Are more rows answered a second with another number of batches in flight?

Pure: `now` is an argument, in seconds. The number is changed to and fro: without, with, with, without, so that a load
that rises or falls meanwhile favours neither. Such a round gives one ratio. There are as many rounds as it takes to tell
the mean of their logarithms from what was asked for: few where the backend is steady, or the difference large. A batch
that left before a change counts for nobody.
"""

from __future__ import annotations

import math
from statistics import fmean, stdev

__all__ = ["Stretch", "Trial"]

_STRETCH_BATCHES = 4
_WITH = (False, True, True, False)
_FEWEST_ROUNDS, _MOST_ROUNDS = 2, 10
_CLEAR = 1.25  # standard errors
_LEAST_DEVIATION = 0.015  # two rounds may agree by chance


class Stretch:
    """Batches answered one after another.

    Args:
        since: When it began, in seconds.

    Attributes:
        batches: How many.
        rows: Of all of them.
        waited: At how many of the answers requests were waiting.
    """

    __slots__ = ("_since", "batches", "rows", "waited")

    def __init__(self, since: float) -> None:
        self._since = since
        self.batches = self.rows = self.waited = 0

    def note(self, rows: int, queued_rows: int) -> None:
        """A batch of so many rows was answered, while so many waited."""
        self.batches += 1
        self.rows += rows
        self.waited += queued_rows > 0

    def rate(self, now: float) -> float:
        """Rows a second; not zero, so that ratios can be taken."""
        return max(self.rows, 1) / max(now - self._since, 1e-9)


class Trial:
    """One number of batches in flight beside another.

    Args:
        now: In seconds.
        usual: The number without it.
        tried: The number with it.
        least_ratio: Of the rows a second with it to those without, from which on it pays.

    Attributes:
        tried: As given.
        pays: What came of it; None while that is open.
        rate: Rows a second of late, with the number that it was judged for.
        waited_ratio: Part of the answers at the smaller number at which requests were waiting, of late: of those who
            wait for a slot there have to be some, or the number does nothing.
    """

    def __init__(self, now: float, usual: int, tried: int, least_ratio: float) -> None:
        self.tried = tried
        self.pays: bool | None = None
        self.rate = 0.0
        self.waited_ratio = 1.0
        self._usual = usual
        self._wanted = math.log(least_ratio)
        self._rates: list[float] = []
        self._rounds: list[float] = []
        self._stretch = Stretch(now)
        self._to_skip = 0

    def note(self, now: float, rows: int, queued_rows: int) -> int:
        """A batch was answered, see `InFlight.note`; returns how many there should be now."""
        if self._to_skip:
            self._to_skip -= 1
            self._stretch = Stretch(now)
        else:
            self._stretch.note(rows, queued_rows)
            if self._stretch.batches == _STRETCH_BATCHES:
                self._end_stretch(now)
        return self._number(len(self._rates))

    def _number(self, place: int) -> int:
        return self.tried if _WITH[place % len(_WITH)] else self._usual

    def _end_stretch(self, now: float) -> None:
        number = self._number(len(self._rates))
        if number == min(self.tried, self._usual):
            self.waited_ratio = self._stretch.waited / self._stretch.batches
        self._rates.append(self._stretch.rate(now))
        following = self._number(len(self._rates))
        self._to_skip = 0 if following == number else max(following, number)
        if len(self._rates) == len(_WITH):
            self._end_round()
        self._stretch = Stretch(now)

    def _end_round(self) -> None:
        before, with_it, with_it_again, after = self._rates
        self._rates.clear()
        self._rounds.append(math.log((with_it + with_it_again) / (before + after)))
        rounds = len(self._rounds)
        if rounds < _FEWEST_ROUNDS:
            return
        beyond = fmean(self._rounds) - self._wanted
        error = max(stdev(self._rounds), _LEAST_DEVIATION) / math.sqrt(rounds)
        if abs(beyond) > _CLEAR * error or rounds == _MOST_ROUNDS:
            self.pays = beyond >= 0
            self.rate = (with_it + with_it_again if self.pays else before + after) / 2
