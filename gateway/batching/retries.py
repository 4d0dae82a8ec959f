"""May a batch that was refused be sent again in halves?

Pure. One bad request among 64 costs six more refusals, and as many answers; a backend that refuses everything would
be sent 127 batches in place of one. So each refusal that is followed by halves costs one, and each answer gives
one back, up to a bound: bad requests are found for as long as there are good ones beside them, and a backend that
only refuses is soon left alone.
"""

from __future__ import annotations

__all__ = ["RetryBudget"]

_MOST = 100


class RetryBudget:
    """How many more batches may be sent again in halves.

    Attributes:
        left: From 0 to 100.
    """

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = _MOST

    def note_answer(self) -> None:
        """A batch was answered."""
        if self.left < _MOST:
            self.left += 1

    def spend(self) -> bool:
        """Whether one more may be; if so, it counts."""
        if not self.left:
            return False
        self.left -= 1
        return True
