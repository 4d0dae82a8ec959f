"""What does a supervisor count of its workers? Only a gateway with several has these."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

__all__ = ["WorkerMetrics"]


class WorkerMetrics:
    """The instruments of a supervisor of `count` workers, registered in one registry."""

    def __init__(self, registry: CollectorRegistry, count: int) -> None:
        self.up = Gauge("tandem_workers", "Worker processes that serve now.", registry=registry)
        self.restarts = Counter(
            "tandem_worker_restarts_total",
            "Times a worker was started again because it had ended.",
            ("worker",),
            registry=registry,
        )
        self.hangs = Counter(
            "tandem_worker_hangs_total",
            "Times a worker was killed because its event loop stood still.",
            ("worker",),
            registry=registry,
        )
        self.connections = Counter(
            "tandem_worker_connections_total",
            "REST connections handed to a worker.",
            ("worker",),
            registry=registry,
        )
        self.log_lines_dropped = Counter(
            "tandem_log_lines_dropped_total",
            "Log lines not written because the log's queue was full.",
            registry=registry,
        )
        for number in map(str, range(count)):  # at 0, so that the first time is an increase
            self.restarts.labels(number)
            self.hangs.labels(number)
