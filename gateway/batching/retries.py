"""May a batch that was refused be sent again in halves?

Pure. One bad request among 64 costs six more refusals, and as many answers; a backend that refuses everything would be
sent 127 batches in place of one. So each refusal that is followed by halves costs one, and each request that is answered
gives one back, up to a bound: bad requests are found for as long as that saves more others than it costs calls, a third of all
or more, and a backend that only refuses is soon left alone. In the long run there are at most two more calls for each answer.
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

    def note_answer(self, requests: int) -> None:
        """A batch of so many requests was answered."""
        if self.left < _MOST:
            self.left = min(self.left + requests, _MOST)

    def spend(self) -> bool:
        """Whether one more may be; if so, it counts."""
        if not self.left:
            return False
        self.left -= 1
        return True
