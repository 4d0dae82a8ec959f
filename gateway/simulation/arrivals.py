"""When do requests arrive, and what is in them?

All draws come from the `Random` that is passed in, so a seed gives the same arrivals again, and two
policies can be given the very same ones.

    poisson      callers who know nothing of each other: the gaps are exponential
    bursty       the same, but only in bursts, of random length, with silence between them
    closed_loop  so many callers, each of whom sends its next request when the last one has ended
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from random import Random
from typing import Protocol

from gateway.batching.entry import NORMAL
from gateway.batching.key import BatchKey
from gateway.simulation.requests import ONE_KEY, Arrival, Ended

__all__ = ["Bursts", "ClosedLoop", "Mix", "OpenLoop", "Source", "bursty", "poisson"]


class Source(Protocol):
    """Where requests come from."""

    def first(self) -> Iterator[Arrival]:
        """Those that come whatever happens, in order of arrival."""
        ...

    def after(self, ended: Ended) -> Arrival | None:
        """The one that comes because another has ended, not before it did."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """What requests look like.

    Attributes:
        rows: How many rows, each with its weight.
        timeout_s: From arrival to deadline.
        keys: One of these, each as likely as the others.
        priorities: Which of `batching.entry`, each with its weight.
    """

    rows: Mapping[int, float] = field(default_factory=lambda: {1: 1.0})
    timeout_s: float = math.inf
    keys: Sequence[BatchKey] = (ONE_KEY,)
    priorities: Mapping[int, float] = field(default_factory=lambda: {NORMAL: 1.0})

    @property
    def mean_rows(self) -> float:
        """Rows of a request, on average."""
        return sum(rows * weight for rows, weight in self.rows.items()) / sum(self.rows.values())

    def draw(self, at: float, rng: Random) -> Arrival:
        """A request that arrives at `at`."""
        return Arrival(
            at=at,
            rows=_draw(self.rows, rng),
            deadline=at + self.timeout_s,
            key=self.keys[0] if len(self.keys) == 1 else rng.choice(self.keys),
            priority=_draw(self.priorities, rng),
        )


def _draw(weights: Mapping[int, float], rng: Random) -> int:
    if len(weights) == 1:
        return next(iter(weights))
    return rng.choices(list(weights), list(weights.values()))[0]


@dataclass(frozen=True, slots=True)
class OpenLoop:
    """Callers who do not wait for each other: what comes does not depend on what is answered."""

    arrivals: Iterator[Arrival]

    def first(self) -> Iterator[Arrival]:
        """See `Source`."""
        return self.arrivals

    def after(self, ended: Ended) -> None:
        """Nothing comes because of an end."""


def poisson(rate_per_s: float, mix: Mix, rng: Random) -> Iterator[Arrival]:
    """Requests without end, `rate_per_s` of them on average."""
    at = 0.0
    while True:
        at += rng.expovariate(rate_per_s)
        yield mix.draw(at, rng)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bursts:
    """Mean lengths of bursts and of the silence between them, in seconds; each is exponential."""

    on_s: float
    off_s: float


def bursty(rate_per_s: float, bursts: Bursts, mix: Mix, rng: Random) -> Iterator[Arrival]:
    """Requests without end, `rate_per_s` on average over bursts and silence."""
    rate_in_burst = rate_per_s * (bursts.on_s + bursts.off_s) / bursts.on_s
    begins = 0.0
    while True:
        ends = begins + rng.expovariate(1 / bursts.on_s)
        at = begins + rng.expovariate(rate_in_burst)
        while at < ends:
            yield mix.draw(at, rng)
            at += rng.expovariate(rate_in_burst)
        begins = ends + rng.expovariate(1 / bursts.off_s)


class ClosedLoop:
    """So many callers, each of whom thinks and then sends, when its last request has ended.

    Args:
        callers: How many there are. They begin within the first `think_s`.
        requests: How many are sent in all.
        think_s: Mean of the exponential time that a caller takes before it sends.
        mix: What they send.
        rng: For all draws.
    """

    def __init__(
        self, callers: int, requests: int, *, think_s: float = 0.0, mix: Mix, rng: Random
    ) -> None:
        self._callers = callers
        self._left = requests
        self._think_s = think_s
        self._mix = mix
        self._rng = rng

    def first(self) -> Iterator[Arrival]:
        """See `Source`."""
        beginning = sorted(self._rng.uniform(0, self._think_s) for _ in range(self._callers))
        return islice((self._next(at) for at in beginning), min(self._callers, self._left))

    def after(self, ended: Ended) -> Arrival | None:
        """See `Source`."""
        if not self._left:
            return None
        pause_s = self._rng.expovariate(1 / self._think_s) if self._think_s else 0.0
        return self._next(ended.at + pause_s)

    def _next(self, at: float) -> Arrival:
        self._left -= 1
        return self._mix.draw(at, self._rng)
