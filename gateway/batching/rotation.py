"""Which priority goes first this time?

Pure. The highest, but for every `_TURNS`-th batch: that one goes to whom of those that wait led none for longest. So however
many come with other priorities, each that waits leads one of sixteen batches, and one of eight where there are two.
"""

from __future__ import annotations

from gateway.batching.entry import HIGHEST_FIRST

__all__ = ["Rotation"]

_TURNS = 8


class Rotation:
    """Whose turn it is.

    Attributes:
        order: All priorities, those first that go first into the next batch.
    """

    __slots__ = ("_led", "_turn", "order")

    def __init__(self) -> None:
        self.order: tuple[int, ...] = HIGHEST_FIRST
        self._turn = 0
        self._led = list(reversed(HIGHEST_FIRST))  # the longest ago first

    def note(self, priority: int) -> None:
        """A batch left, and the first request in it has this priority."""
        self._turn = turn = (self._turn + 1) % _TURNS
        led = self._led
        if led[-1] != priority:
            led.remove(priority)
            led.append(priority)
        self.order = tuple(led) if turn == _TURNS - 1 else HIGHEST_FIRST
