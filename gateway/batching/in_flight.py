"""How many batches should be at the backend at the same time?

Pure: `now` is an argument, in seconds. No model of the backend tells: a second batch may hide the time that the first
is on its way, or only stand in the backend's own queue, where it can no longer grow. So it is tried. While requests
mostly wait for a slot, one more slot and one less are tried in turn, for two stretches of time between two
without, so that a load that rises or falls meanwhile favours neither; what counts is rows answered a second. One more
has to give 5 % more, one less may lose 2 %, because of batches that are bound later more requests share each. What
did not pay is tried again later and later. Where nobody waits for a slot, fewer would do, and are used.
"""

from __future__ import annotations

__all__ = ["InFlight"]

_STRETCH_BATCHES = 16
_STRETCH_S = 0.2
_OFTEN_RATIO, _SELDOM_RATIO = 0.5, 0.1
_GAIN_RATIO = 1.05
_LOSS_RATIO = 0.98
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 64.0


class InFlight:
    """The number, between bounds.

    Args:
        least: The lower bound, where it begins.
        most: The upper bound.

    Attributes:
        limit: How many there should be now.
    """

    # Invariant: `_rates` are those of the stretches of a trial that are over, of the four (without, with, with, without);
    # empty while nothing is tried.

    def __init__(self, least: int, most: int) -> None:
        self.limit = least
        self._least, self._most = least, most
        self._best = least
        self._tried = least
        self._rates: list[float] = []
        self._goes_up = True
        self._pause_s = _FIRST_PAUSE_S
        self._next_at = 0.0
        self._begin(0.0)

    def note(self, now: float, rows: int, queued_rows: int) -> int:
        """A batch of so many rows was answered, while so many waited; returns `limit`."""
        self._batches += 1
        self._rows += rows
        self._waited += queued_rows > 0
        passed_s = now - self._since
        if self._batches >= _STRETCH_BATCHES and passed_s >= _STRETCH_S:
            if self._waited >= _OFTEN_RATIO * self._batches:
                self._learn(now, self._rows / passed_s)
            else:
                self._end_trial(now)
                if self._waited <= _SELDOM_RATIO * self._batches:
                    self._best = max(self._least, self._best - 1)
                    self.limit = self._best
            self._begin(now)
        return self.limit

    def _begin(self, now: float) -> None:
        self._since = now
        self._batches = self._rows = self._waited = 0

    def _learn(self, now: float, rows_per_s: float) -> None:
        """Go on with a trial, or begin one."""
        if not self._rates and (now < self._next_at or self._least == self._most):
            return
        self._rates.append(rows_per_s)
        if len(self._rates) == 1:
            self._tried = self._neighbour()
            self.limit = self._tried
        elif len(self._rates) == 3:  # noqa: PLR2004  # without, with, with
            self.limit = self._best
        elif len(self._rates) == 4:  # noqa: PLR2004
            self._judge(now)

    def _neighbour(self) -> int:
        if self._best == self._most or (not self._goes_up and self._best > self._least):
            return self._best - 1
        return self._best + 1

    def _judge(self, now: float) -> None:
        before, *with_it, after = self._rates
        ratio = sum(with_it) / (before + after)
        is_more = self._tried > self._best
        if ratio >= (_GAIN_RATIO if is_more else _LOSS_RATIO):
            self._best, self._goes_up, self._pause_s = self._tried, is_more, 0.0
        else:
            self._goes_up = not is_more
        self._end_trial(now)

    def _end_trial(self, now: float) -> None:
        if not self._rates:
            return
        self._rates.clear()
        self.limit = self._best
        self._next_at = now + self._pause_s
        self._pause_s = min(max(2 * self._pause_s, _FIRST_PAUSE_S), _LONGEST_PAUSE_S)
