"""How many batches should be at the backend at the same time?

Pure: `now` is an argument, in seconds. No model of the backend tells: a second batch may hide the time that the first
is on its way, or only stand in the backend's own queue, where it can no longer grow. So it begins with two and tries: one
fewer, one more. A trial (`trial.py`) is counted in batches, not in seconds, so that what is quick is found out quickly.
What counts is rows answered a second. One more has to give 6 % more, one less may lose 5 %, because of batches that are
bound later more requests share each.

It is tried while requests mostly wait for a slot. Where neither direction pays, the next trial is later and later, but
at once where the rows a second have doubled or halved: then it is another backend, or another load. Where nobody waits for
a slot the number does nothing, and goes back to two from above.
"""

from __future__ import annotations

from gateway.batching.trial import Stretch, Trial

__all__ = ["InFlight"]

_FIRST = 2
_LOOK_BATCHES = 16
_OFTEN_RATIO, _SELDOM_RATIO = 0.5, 0.1
_GAIN_RATIO, _LOSS_RATIO = 1.06, 0.95
_FIRST_PAUSE, _DOUBLINGS = 512, 4  # batches, and how often that grows
_OTHER_RATIO, _OTHER_LOOKS = 2.0, 3


class InFlight:
    """The number, between bounds.

    Args:
        least: The lower bound.
        most: The upper bound.

    Attributes:
        limit: How many there should be now. Two in the beginning, or what is nearest within the bounds.
    """

    def __init__(self, least: int, most: int) -> None:
        self._least, self._most = least, most
        self._first = self._best = self.limit = min(max(_FIRST, least), most)
        self._trial: Trial | None = None
        self._look = Stretch(0.0)
        self._goes_up = False
        self._refused = 0  # trials since the last that paid
        self._pause = 0  # batches until the next
        self._usual_rate = 0.0
        self._other_looks = 0

    def note(self, now: float, rows: int, queued_rows: int) -> int:
        """A batch of so many rows was answered, while so many waited; returns `limit`."""
        if self._least < self._most:
            if self._trial is not None:
                self._try(self._trial, now, rows, queued_rows)
            else:
                self._watch(now, rows, queued_rows)
        return self.limit

    def _watch(self, now: float, rows: int, queued_rows: int) -> None:
        """Find out whether to begin a trial."""
        look = self._look
        look.note(rows, queued_rows)
        self._pause -= 1
        if look.batches < _LOOK_BATCHES:
            return
        if look.waited >= _OFTEN_RATIO * look.batches:
            self._compare(look.rate(now))
            if self._pause <= 0:
                self._begin_trial(now)
        elif look.waited <= _SELDOM_RATIO * look.batches and self._best > self._first:
            self._best -= 1
            self.limit = self._best
        self._look = Stretch(now)

    def _compare(self, rate: float) -> None:
        """End the pause where it is no longer as it was."""
        usual = self._usual_rate
        is_other = not usual / _OTHER_RATIO <= rate <= usual * _OTHER_RATIO
        self._other_looks = self._other_looks + 1 if is_other else 0
        if self._other_looks >= _OTHER_LOOKS:
            self._refused = self._pause = 0

    def _begin_trial(self, now: float) -> None:
        tried = self._neighbour()
        least_ratio = _GAIN_RATIO if tried > self._best else _LOSS_RATIO
        self._trial = Trial(now, self._best, tried, least_ratio)

    def _neighbour(self) -> int:
        if self._best == self._most or (not self._goes_up and self._best > self._least):
            return self._best - 1
        return self._best + 1

    def _try(self, trial: Trial, now: float, rows: int, queued_rows: int) -> None:
        self.limit = trial.note(now, rows, queued_rows)
        if trial.waited_ratio < _OFTEN_RATIO:
            self._end_trial(now)
        elif trial.pays is not None:
            self._judge(trial, pays=trial.pays)
            self._end_trial(now)

    def _judge(self, trial: Trial, *, pays: bool) -> None:
        """Move, and go on in that direction: the other was just seen not to pay. Or turn; and rest after both."""
        is_more = trial.tried > self._best
        self._goes_up = is_more == pays
        if pays:
            self._best = trial.tried
        self._refused = 1 if pays else self._refused + 1
        has_both = self._least < self._best < self._most
        rests = self._refused - has_both
        self._pause = _FIRST_PAUSE << min(rests - 1, _DOUBLINGS) if rests > 0 else 0
        self._usual_rate = trial.rate
        self._other_looks = 0

    def _end_trial(self, now: float) -> None:
        self._trial = None
        self.limit = self._best
        self._look = Stretch(now)
