"""A part in slots that other processes take, which come and go as a test says."""

from __future__ import annotations

from collections.abc import Callable


class Turns:
    """A lease whose place is free, or not before `come`."""

    def __init__(self) -> None:
        self.is_free = True
        self._asked: list[Callable[[], None]] = []

    def take(self, _limit: int, on_turn: Callable[[], None]) -> bool:
        if not self.is_free:
            self._asked.append(on_turn)
        return self.is_free

    def give_back(self) -> None:
        """Nobody waits here."""

    def come(self) -> None:
        """It is our turn."""
        self.is_free = True
        self._asked.pop()()
