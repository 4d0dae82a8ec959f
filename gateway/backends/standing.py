"""Which replica takes the next batch, and may a replica take any at all? Pure: time and dice are arguments.

A replica is *in* or *out*. Two things put it out, and from both only a probe brings it back, so that no
caller's batch is spent on finding out:

    a probe fails                     out until a probe succeeds
    `MAX_FAILURES` batches in a row   out until a probe succeeds, and for `FIRST_OUT_S` at least, twice as
    cannot reach it                   long each time in a row up to `MAX_OUT_S`; then one more failure puts
                                      it out again, one success forgets it all

Rules:
- Only "cannot be reached" counts: an answer, an error too, is a sign of life, and a caller with little
  patience must not be able to put a replica out.
- When all are out, all take part: a guess that may be wrong is better than a refusal that is certain.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["FIRST_OUT_S", "MAX_FAILURES", "MAX_OUT_S", "Standing", "choose", "eligible"]

MAX_FAILURES: Final = 3
FIRST_OUT_S: Final = 1.0
MAX_OUT_S: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What we hold of one replica.

    Attributes:
        failures: Batches in a row that could not reach it.
        ejections: Times in a row that this put it out.
        out_until: The moment until which it is out for that, in seconds of the caller's clock.
        awaits_probe: Whether it is out until a probe succeeds.
    """

    failures: int = 0
    ejections: int = 0
    out_until: float = 0.0
    awaits_probe: bool = False

    def is_in(self, now: float) -> bool:
        """Whether it takes batches."""
        return not self.awaits_probe and now >= self.out_until

    def after_answer(self) -> Standing:
        """A batch was answered, whatever the answer."""
        if not self.failures and not self.ejections:
            return self
        return Standing(awaits_probe=self.awaits_probe)

    def after_failure(self, now: float) -> Standing:
        """A batch could not reach it."""
        if not self.is_in(now):
            return self  # one of those that were on their way when it was put out
        failures = self.failures + 1
        if failures < MAX_FAILURES and not self.ejections:
            return dataclasses.replace(self, failures=failures)
        out_s = min(FIRST_OUT_S * 2.0**self.ejections, MAX_OUT_S)
        ejections = min(self.ejections + 1, 16)  # enough for the longest; 2.0 ** n stays a float
        return Standing(ejections=ejections, out_until=now + out_s, awaits_probe=True)

    def after_probe(self, *, ready: bool) -> Standing:
        """It was asked whether it is ready."""
        if ready is not self.awaits_probe:
            return self
        return dataclasses.replace(self, awaits_probe=not ready)


def eligible(standings: Sequence[Standing], now: float) -> list[int]:
    """The indices of the replicas that take batches: those that are in, or all when none is."""
    inside = [index for index, standing in enumerate(standings) if standing.is_in(now)]
    return inside or list(range(len(standings)))


def choose(candidates: Sequence[int], pending: Sequence[int], draws: tuple[float, float]) -> int:
    """The less busy of two candidates drawn at random; the first drawn when they are equal.

    Two are enough: the longest queue then grows with the logarithm of the logarithm of the number of
    replicas, and, unlike with the least of all, gateways that do not know of each other's batches do
    not all run to the same replica.

    Args:
        candidates: Indices, at least one.
        pending: Batches in flight, of every replica by index.
        draws: Two random numbers from [0, 1).
    """
    count = len(candidates)
    if count == 1:
        return candidates[0]
    first = int(draws[0] * count)
    second = int(draws[1] * (count - 1))
    second += second >= first  # never the same twice
    one, other = candidates[first], candidates[second]
    return other if pending[other] < pending[one] else one
