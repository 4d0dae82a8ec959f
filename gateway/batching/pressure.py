"""Is the gateway itself what everything waits for?

Pure: both clocks are arguments. It is, when its thread has been computing for most of the time lately.
"""

from __future__ import annotations

__all__ = ["Pressure"]

_WINDOW_S = 0.05
_HIGH_RATIO = 0.5


class Pressure:
    """How much of its time a thread has computed.

    Attributes:
        is_high: Whether it was more than half of the latest 50 ms and more.
    """

    __slots__ = ("_cpu_s", "_since", "is_high")

    def __init__(self) -> None:
        self.is_high = False
        self._since = self._cpu_s = 0.0

    def note(self, now: float, cpu_s: float) -> bool:
        """See `is_high`, where the thread has computed for `cpu_s` seconds in all."""
        passed_s = now - self._since
        if passed_s >= _WINDOW_S:
            self.is_high = cpu_s - self._cpu_s > _HIGH_RATIO * passed_s
            self._since, self._cpu_s = now, cpu_s
        return self.is_high
