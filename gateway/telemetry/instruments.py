"""How are requests counted and timed for less than a microsecond?

prometheus_client's instruments take a lock and check their labels at every observation, and a histogram
walks its buckets one by one: five observations a request were a twenty-fifth of the path. These add plain
numbers, and make prometheus_client's families of them when somebody scrapes.

Rules:
- They are counted on the event loop's thread: what other threads count keeps prometheus_client's own. A
  scrape may come from another thread, and takes a copy of the children before it looks at them.
- Children are bound once per arm, and live as long as the process, as counters must.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

__all__ = ["Counters", "Distribution", "Distributions", "Tally"]


class Tally:
    """A number that only grows."""

    __slots__ = ("total",)

    def __init__(self) -> None:
        self.total = 0.0

    def inc(self, amount: float = 1) -> None:
        """Add `amount`, which is not negative."""
        self.total += amount


class Distribution:
    """How many observations fell into each bucket, and their sum.

    `counts` has one place more than `edges`: for what is above the last. An observation on an edge
    belongs to the bucket that ends there, as Prometheus' `le` says.
    """

    __slots__ = ("counts", "edges", "total")

    def __init__(self, edges: Sequence[float]) -> None:
        self.edges = edges
        self.counts = [0] * (len(edges) + 1)
        self.total = 0.0

    def observe(self, amount: float) -> None:
        """Note one observation."""
        self.counts[bisect_left(self.edges, amount)] += 1
        self.total += amount


class Counters(Collector):
    """A family of tallies, told apart by labels. `name` ends in `_total`."""

    def __init__(
        self, name: str, text: str, labels: Sequence[str], *, registry: CollectorRegistry
    ) -> None:
        self._name, self._text, self._labels = name, text, tuple(labels)
        self._children: dict[tuple[str, ...], Tally] = {}
        registry.register(self)

    def labels(self, *values: str) -> Tally:
        """The tally of these labels, in the order that they were declared in."""
        return self._children.setdefault(values, Tally())

    def total(self, *values: str | None) -> float:
        """The sum of the tallies with these labels; None stands for any value."""
        return sum(
            tally.total
            for labels, tally in self._children.copy().items()
            if all(want in (None, got) for got, want in zip(labels, values, strict=True))
        )

    def describe(self) -> Iterator[CounterMetricFamily]:
        """The family without its samples: the registry asks, to refuse a second one of the name."""
        yield CounterMetricFamily(self._name, self._text, labels=self._labels)

    def collect(self) -> Iterator[CounterMetricFamily]:
        """The family as it stands."""
        family = CounterMetricFamily(self._name, self._text, labels=self._labels)
        for values, tally in self._children.copy().items():
            family.add_metric(values, tally.total)
        yield family


class Distributions(Collector):
    """A family of distributions, told apart by labels, with the same bucket edges."""

    def __init__(
        self,
        name: str,
        text: str,
        labels: Sequence[str],
        *,
        buckets: Sequence[float],
        registry: CollectorRegistry,
    ) -> None:
        self._name, self._text, self._labels = name, text, tuple(labels)
        self._edges = tuple(buckets)
        self._bounds = (*map(str, map(float, buckets)), "+Inf")
        self._children: dict[tuple[str, ...], Distribution] = {}
        registry.register(self)

    def labels(self, *values: str) -> Distribution:
        """The distribution of these labels, in the order that they were declared in."""
        return self._children.setdefault(values, Distribution(self._edges))

    def describe(self) -> Iterator[HistogramMetricFamily]:
        """The family without its samples."""
        yield HistogramMetricFamily(self._name, self._text, labels=self._labels)

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """The family as it stands."""
        family = HistogramMetricFamily(self._name, self._text, labels=self._labels)
        for values, found in self._children.copy().items():
            buckets = list(zip(self._bounds, accumulate(found.counts), strict=True))
            family.add_metric(values, buckets, found.total)
        yield family
