"""Is it worth waiting for more rows before a batch leaves?

Pure: `now` is an argument, in seconds.

A wait can only pay where many rows come soon after an answer, as they do when those who were answered ask again,
and where a batch costs much beside a row. In traffic that comes at random it never does: the next batch would have
taken up what is missed, and in the meantime the slot works. So a wait is taken in the `max_delay_s` after an answer only,
and there only while fewer requests are queued than usually are by its end, and

- those still to come, each spared what a batch of their own would take beyond their share of this one, gain more
  than all together lose by the wait, or
- the gateway itself is what everything waits for (`is_pressed`): then the slot's idleness costs nothing, and every
  batch that need not be sent leaves more of the gateway to the requests.

A lone caller does not wait: one request is queued after its answer, and that is its own.
"""

from __future__ import annotations

import math

__all__ = ["Patience"]

# Of the latest answer, in the mean over all: those who have left are to be waited for no more.
_WEIGHT_UP, _WEIGHT_DOWN = 0.2, 0.5


class Patience:
    """What usually comes soon after an answer.

    Attributes:
        max_delay_s: How long a wait may be; 0 never waits.
        is_pressed: Whether the gateway itself is short of time.
        expected: How many requests of an arm are usually queued, or come, in the `max_delay_s` after an answer, or
            until the next one. Those that leave meanwhile count.
        until: The end of the latest such time, in seconds.
    """

    __slots__ = ("_came", "_spared_s", "expected", "is_pressed", "max_delay_s", "until")

    def __init__(self, max_delay_s: float) -> None:
        self.max_delay_s = max_delay_s
        self.is_pressed = False
        self.expected = 0.0
        self.until = -math.inf
        self._came: int | None = None
        self._spared_s = 0.0

    def answered(self, now: float, queued: int, spared_s: float, *, is_waiting: bool) -> None:
        """A batch was answered.

        Args:
            now: In seconds.
            queued: Requests that are queued in the arm.
            spared_s: How much longer two batches usually take than one of all their rows, in seconds.
            is_waiting: Whether a batch waits already, which it does no longer for this.
        """
        self._learn()
        if not is_waiting:
            self.until = now + self.max_delay_s
        self._came, self._spared_s = queued, spared_s

    def arrived(self, now: float, count: int) -> None:
        """So many requests came."""
        if self._came is None:
            return
        if now < self.until:
            self._came += count
        else:
            self._learn()

    def pays(self, queued: int) -> bool:
        """Whether to wait until `until` pays, where so many requests are queued in the arm."""
        missing = self.expected - queued
        if missing <= 0:
            return False
        return self.is_pressed or missing * self._spared_s > self.expected * self.max_delay_s

    def _learn(self) -> None:
        if self._came is not None:
            weight = _WEIGHT_UP if self._came > self.expected else _WEIGHT_DOWN
            self.expected += weight * (self._came - self.expected)
            self._came = None
