"""What is counted and timed? Every instrument of the gateway, with its help, unit, labels and buckets.

Rules:
- Built from an explicit registry; there is no module-level instrument.
- Labels come from closed sets: model and arm from the route table, reasons from `errors.py`. A name that
  a caller made up never becomes a label (`model=""` stands for a model that is not served).
- Children are bound once per arm (`ArmMetrics`), because looking labels up costs more than observing.
- Every request that was begun is counted exactly once in `tandem_requests_total`, whatever became of it. (Not
  begun: those that wait behind another on a connection whose client leaves.)
"""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from gateway.telemetry.executions import Executions
from gateway.telemetry.instruments import Counters, Distribution, Distributions, Tally
from gateway.telemetry.replicas import ReplicaMetrics

__all__ = ["ArmMetrics", "Metrics"]

# Edges at 1–2.5–5 per decade from 0.25 ms, where a tiny model answers, to 30 s, the default timeout.
SECONDS_BUCKETS = (
    0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
)  # fmt: skip
ROWS_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Metrics:
    """Every instrument, registered in one registry."""

    def __init__(self, registry: CollectorRegistry, *, version: str) -> None:
        self.registry = registry
        self._executions: dict[tuple[str, str, str], Executions] = {}
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        self._make_request_instruments(registry)
        self._make_batch_instruments(registry)
        self._make_state_instruments(registry)
        self._make_process_instruments(registry)
        self._make_heavy_instruments(registry)
        self.replicas = ReplicaMetrics(registry)
        self.build_info.labels(version).set(1)

    def _make_request_instruments(self, registry: CollectorRegistry) -> None:
        arm = ("model", "arm")
        self.requests = Counters(
            "tandem_requests_total",
            "Requests answered, each counted once; reason is ok or the error's.",
            (*arm, "dialect", "reason"),
            registry=registry,
        )
        self.assignments = Counters(
            "tandem_assignments_total",
            "Requests routed to an arm, by why: split, forced, version, label, only.",
            (*arm, "why"),
            registry=registry,
        )
        self.request_seconds = Distributions(
            "tandem_request_duration_seconds",
            "From the request's last body byte to its encoded answer; answered requests only.",
            arm,
            buckets=SECONDS_BUCKETS,
            registry=registry,
        )
        self.queue_seconds = Distributions(
            "tandem_queue_duration_seconds",
            "From submission until the request's batch left; requests that a batch answered.",
            arm,
            buckets=SECONDS_BUCKETS,
            registry=registry,
        )
        self.rows = Counters(
            "tandem_rows_total", "Rows of requests that a batch answered.", arm, registry=registry
        )

    def _make_batch_instruments(self, registry: CollectorRegistry) -> None:
        arm = ("model", "arm")
        self.batches = Counters(
            "tandem_batches_total",
            "Batches sent to a backend; reason is ok or the error's. role is primary or shadow.",
            (*arm, "role", "reason"),
            registry=registry,
        )
        self.batch_departures = Counters(
            "tandem_batch_departures_total",
            "Why each batch left when it did: full, slot_free, delay or deadline.",
            (*arm, "role", "why"),
            registry=registry,
        )
        self.batch_rows = Distributions(
            "tandem_batch_rows",
            "Rows in a batch that was sent.",
            (*arm, "role"),
            buckets=ROWS_BUCKETS,
            registry=registry,
        )
        self.positions = Counters(
            "tandem_batch_positions_total",
            "Places along the sequence axis of batches that were sent, by what: real or padding.",
            (*arm, "role", "what"),
            registry=registry,
        )
        self.backend_seconds = Distributions(
            "tandem_backend_duration_seconds",
            "One backend call, from sending a batch to its decoded answer.",
            (*arm, "role"),
            buckets=SECONDS_BUCKETS,
            registry=registry,
        )

    def _make_state_instruments(self, registry: CollectorRegistry) -> None:
        self.queued_rows = Gauge(
            "tandem_queued_rows",
            "Rows waiting for a batch now.",
            ("model", "arm", "role"),
            registry=registry,
        )
        self.in_flight_batches = Gauge(
            "tandem_in_flight_batches",
            "Batches at a backend now.",
            ("model", "arm", "role"),
            registry=registry,
        )
        self.in_flight_limit = Gauge(
            "tandem_in_flight_limit",
            "Batches that may be at a backend now.",
            ("model", "arm", "role"),
            registry=registry,
        )
        self.in_flight_requests = Gauge(
            "tandem_in_flight_requests",
            "Requests accepted and not yet answered.",
            registry=registry,
        )
        self.in_flight_bytes = Gauge(
            "tandem_in_flight_bytes",
            "Bytes of the bodies of requests that are not answered yet.",
            registry=registry,
        )
        self.arm_ready = Gauge(
            "tandem_arm_ready",
            "1 when the arm's backend serves its version of the model, else 0.",
            ("model", "arm"),
            registry=registry,
        )
        self.arm_weight = Gauge(
            "tandem_arm_weight", "The arm's configured weight.", ("model", "arm"), registry=registry
        )

    def _make_process_instruments(self, registry: CollectorRegistry) -> None:
        self.shadow = Counters(
            "tandem_shadow_total",
            "Mirrored requests, by outcome: match, mismatch, error or dropped; arm is the shadow.",
            ("model", "arm", "outcome"),
            registry=registry,
        )
        self.config_reloads = Counter(
            "tandem_config_reloads_total",
            "Configuration reloads, by outcome: applied or refused.",
            ("outcome",),
            registry=registry,
        )
        self.config_ok = Gauge(
            "tandem_config_last_reload_successful",
            "1 when the newest configuration is the one in force.",
            registry=registry,
        )
        self.log_lines_dropped = Counter(
            "tandem_log_lines_dropped_total",
            "Log lines not written because the log's queue was full.",
            registry=registry,
        )
        self.build_info = Gauge(
            "tandem_build_info", "1, labelled with the version.", ("version",), registry=registry
        )

    def _make_heavy_instruments(self, registry: CollectorRegistry) -> None:
        self.heavy_jobs = Counter(
            "tandem_heavy_jobs_total",
            "Large bodies given to the worker process: done, refused, cut_short or died.",
            ("outcome",),
            registry=registry,
        )
        self.heavy_queued = Gauge(
            "tandem_heavy_queued",
            "Large bodies that are read or written by the worker process, or wait for it.",
            registry=registry,
        )

    def executions(self, model: str, arm: str, role: str) -> Executions:
        """What the arm's batches cost, one for all its lanes."""
        return self._executions.setdefault((model, arm, role), Executions())

    def forget_arm(self, model: str, arm: str) -> None:
        """Drop the state gauges of an arm that is no longer configured (counters stay)."""
        for gauge in (self.arm_ready, self.arm_weight):
            gauge.remove_by_labels({"model": model, "arm": arm})
        for gauge in (self.queued_rows, self.in_flight_batches, self.in_flight_limit):
            gauge.remove_by_labels({"model": model, "arm": arm})


class ArmMetrics:
    """One arm's instruments, with their labels bound: what a request and a batch observe."""

    def __init__(self, metrics: Metrics, model: str, arm: str, *, role: str = "primary") -> None:
        self.request_seconds: Distribution = metrics.request_seconds.labels(model, arm)
        self.queue_seconds: Distribution = metrics.queue_seconds.labels(model, arm)
        self.rows: Tally = metrics.rows.labels(model, arm)
        self.batch_rows: Distribution = metrics.batch_rows.labels(model, arm, role)
        self.backend_seconds: Distribution = metrics.backend_seconds.labels(model, arm, role)
        self.in_flight_batches = metrics.in_flight_batches.labels(model, arm, role)
        self.in_flight_limit = metrics.in_flight_limit.labels(model, arm, role)
        self.queued_rows = metrics.queued_rows.labels(model, arm, role)
        self.executions = metrics.executions(model, arm, role)
        self._labels = (model, arm)
        self._role = role
        self._metrics = metrics
        self._requests: dict[tuple[str, str], Tally] = {}
        self._batches: dict[tuple[str, str], _Pair] = {}
        self._positions: tuple[Tally, Tally] | None = None

    def count_request(self, dialect: str, reason: str) -> None:
        """Count one finished request."""
        key = (dialect, reason)
        child = self._requests.get(key)
        if child is None:
            child = self._metrics.requests.labels(*self._labels, dialect, reason)
            self._requests[key] = child
        child.inc()

    def outcomes(self) -> tuple[int, int]:
        """How many requests were answered, and how many ended in an error, in every dialect."""
        requests = self._metrics.requests
        answered = requests.total(*self._labels, None, "ok")
        return int(answered), int(requests.total(*self._labels, None, None) - answered)

    def assigned(self, why: str) -> Tally:
        """What counts the routing decisions in favour of this arm."""
        return self._metrics.assignments.labels(*self._labels, why)

    def count_batch(self, why: str, reason: str) -> None:
        """Count one batch: why it left when it did, and how it ended."""
        key = (why, reason)
        if key not in self._batches:
            self._batches[key] = _Pair(
                self._metrics.batch_departures.labels(*self._labels, self._role, why),
                self._metrics.batches.labels(*self._labels, self._role, reason),
            )
        self._batches[key].inc()

    def count_positions(self, real: int, padding: int) -> None:
        """Count what one batch carried along the sequence axis; only models that declare one have that."""
        if self._positions is None:
            labels = (*self._labels, self._role)
            positions = self._metrics.positions
            self._positions = (
                positions.labels(*labels, "real"),
                positions.labels(*labels, "padding"),
            )
        self._positions[0].inc(real)
        self._positions[1].inc(padding)


class _Pair:
    """Two counters that move together."""

    def __init__(self, first: Tally, second: Tally) -> None:
        self._both = (first, second)

    def inc(self, amount: float = 1) -> None:
        for counter in self._both:
            counter.inc(amount)


def sample_values(metrics: Metrics, name: str) -> Mapping[tuple[tuple[str, str], ...], float]:
    """The samples called `name`, by their sorted labels; for tests and the admin API."""
    return {
        tuple(sorted(sample.labels.items())): sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == name
    }
