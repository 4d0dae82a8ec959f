"""What does the server count and time? Everything that `GET /metrics` tells.

Labels come from closed sets: models and versions from the store (empty for a model that is not served),
outcomes and reasons from the code. What is true now, such as queue lengths, is read when it is scraped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

__all__ = ["Metrics", "VersionMetrics", "VersionState"]

# From a tiny network on one row to a transformer on a large batch.
_SECONDS = (
    *(1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3),
    *(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
_OF_VERSION = ("model", "version")


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionState:
    """What is true of one version now.

    Attributes:
        phase: A phase of `registry`.
        reason: Why it was refused, from a closed set; "" if it was not.
        problem: The same in words, or why its last worker was lost.
    """

    model: str
    version: str
    phase: str
    reason: str
    problem: str
    queued: int
    in_flight: int
    workers: int
    restarts: int


@dataclass(frozen=True, slots=True)
class VersionMetrics:
    """The series of one version, looked up once."""

    answered: Counter
    rows: Counter
    run_seconds: Histogram
    queue_seconds: Histogram


class Metrics:
    """The registry and everything in it."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = self._counter(
            "requests", "Requests, by how they ended.", (*_OF_VERSION, "outcome")
        )
        self._rows = self._counter("rows", "Rows that were answered.", _OF_VERSION)
        self._loads = self._counter(
            "loads", "Packages loaded, or refused and why.", (*_OF_VERSION, "outcome")
        )
        self._run_seconds = self._histogram("run_seconds", "Time that a batch took in a worker.")
        self._queue_seconds = self._histogram("queue_seconds", "Time that a batch was queued.")

    def watch(self, states: Callable[[], Iterable[VersionState]]) -> None:
        """Tell, at each scrape, what `states` says then."""
        self._registry.register(_States(states))

    def of_version(self, model: str, version: str) -> VersionMetrics:
        """The series of one version."""
        return VersionMetrics(
            self._requests.labels(model, version, "ok"),
            self._rows.labels(model, version),
            self._run_seconds.labels(model, version),
            self._queue_seconds.labels(model, version),
        )

    def count_request(self, model: str, version: str, outcome: str) -> None:
        """Count one request that failed; `outcome` is the error's reason."""
        self._requests.labels(model, version, outcome).inc()

    def count_load(self, model: str, version: str, outcome: str) -> None:
        """Count one load; `outcome` is `ready` or why it was refused."""
        self._loads.labels(model, version, outcome).inc()

    def exposition(self) -> bytes:
        """All of it in the Prometheus text format."""
        return generate_latest(self._registry)

    def _counter(self, name: str, text: str, labels: tuple[str, ...]) -> Counter:
        return Counter(f"tandem_torch_{name}", text, labels, registry=self._registry)

    def _histogram(self, name: str, text: str) -> Histogram:
        return Histogram(
            f"tandem_torch_{name}", text, _OF_VERSION, registry=self._registry, buckets=_SECONDS
        )


class _States(Collector):
    def __init__(self, states: Callable[[], Iterable[VersionState]]) -> None:
        self._states = states

    def collect(self) -> Iterator[Metric]:
        states = list(self._states())
        for name, text in (
            ("queued", "Requests that wait for a worker."),
            ("in_flight", "Batches that workers run."),
            ("workers", "Worker processes that are loaded and alive."),
        ):
            gauge = GaugeMetricFamily(f"tandem_torch_{name}", text, labels=_OF_VERSION)
            for state in states:
                gauge.add_metric((state.model, state.version), getattr(state, name))
            yield gauge
        yield _restarts(states)
        yield _phases(states)


def _restarts(states: list[VersionState]) -> Metric:
    family = CounterMetricFamily(
        "tandem_torch_worker_restarts", "Workers that were lost and replaced.", labels=_OF_VERSION
    )
    for state in states:
        family.add_metric((state.model, state.version), state.restarts)
    return family


def _phases(states: list[VersionState]) -> Metric:
    family = GaugeMetricFamily(
        "tandem_torch_version_phase",
        "1 for the phase that a version is in, and why if it was refused.",
        labels=(*_OF_VERSION, "phase", "reason"),
    )
    for state in states:
        family.add_metric((state.model, state.version, state.phase, state.reason), 1)
    return family
