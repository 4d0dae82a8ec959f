"""When does a simulated backend answer a batch?

A backend is one replica or several, each of which computes one batch at a time and keeps the others
waiting in the order they came. As in the gateway, a batch goes to the less busy of two replicas drawn
at random, so that one may wait while another replica is free.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

__all__ = ["Backend"]


class Backend:
    """Replicas, and when each will be free.

    Args:
        service_s: Seconds that a replica computes on a batch of so many rows. Draws its own noise.
        replicas: How many there are.
        rng: For the draws of replicas.
    """

    # Invariant: `_answers[i]` are the moments at which the batches at replica i are answered, ascending.

    def __init__(
        self, service_s: Callable[[int], float], replicas: int = 1, rng: Random | None = None
    ) -> None:
        self._service_s = service_s
        self._answers: list[list[float]] = [[] for _ in range(replicas)]
        self._rng = rng or Random(0)
        self._held_until = 0.0
        self.busy_s = 0.0

    def send(self, rows: int, now: float) -> float:
        """Send a batch and return when it will be answered."""
        answers = self._choose(now)
        begins = max(answers[-1] if answers else now, now, self._held_until)
        seconds = self._service_s(rows)
        self.busy_s += seconds
        answers.append(begins + seconds)
        return answers[-1]

    def stall(self, until: float) -> None:
        """Begin to compute nothing until then. What has been sent is answered as if nothing had happened."""
        self._held_until = max(self._held_until, until)

    def _choose(self, now: float) -> list[float]:
        drawn = self._answers if len(self._answers) == 1 else self._rng.sample(self._answers, 2)
        for answers in drawn:
            while answers and answers[0] <= now:
                answers.pop(0)
        return min(drawn, key=len)
