"""Has the gateway anything else to do before a batch is bound?

Pure: the time and how many requests came so far are arguments.

Where the gateway itself is what everything waits for (`pressure.py`), a batch that leaves as soon as a slot is free has
only the few requests that were read by then. To send it and to read its answer costs what a full one costs, and
in that time no requests are read: so the next batch is small too. Then it is better to read first, and to bind a batch
when nobody comes any more. That is no wait: the gateway is at work all the time, for the requests of that batch.
"""

from __future__ import annotations

__all__ = ["Lull"]

_QUIET_TURNS = 6
"""Of the event loop. A gRPC call takes some from its head to its message; an idle turn takes microseconds."""
_LONGEST_S = 0.005


class Lull:
    """Whether requests are still coming in, one turn of the event loop after the other.

    Attributes:
        until: When it ends though they are, in seconds.
    """

    __slots__ = ("_came", "_quiet_turns", "until")

    def __init__(self) -> None:
        self.until = 0.0
        self._came = self._quiet_turns = 0

    def await_from(self, now: float, came: int) -> None:
        """Begin to wait for it, where so many requests have come so far."""
        self.until = now + _LONGEST_S
        self._came, self._quiet_turns = came, 0

    def is_here(self, now: float, came: int) -> bool:
        """Whether nobody has come for some turns; to be asked once in each."""
        if came != self._came:
            self._came, self._quiet_turns = came, 0
        else:
            self._quiet_turns += 1
        return self._quiet_turns >= _QUIET_TURNS or now >= self.until
