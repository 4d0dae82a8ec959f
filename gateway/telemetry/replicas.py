"""What is counted of each replica of a backend? Labels are the configured names and addresses."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

__all__ = ["ReplicaMetrics"]

_REPLICA = ("backend", "replica")


class ReplicaMetrics:
    """The instruments of replicas, registered in one registry; only backends with several have them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.batches = Counter(
            "tandem_replica_batches_total",
            "Batches sent to a replica; reason is ok or the error's.",
            (*_REPLICA, "reason"),
            registry=registry,
        )
        self.pending = Gauge(
            "tandem_replica_pending_batches",
            "Batches at a replica now.",
            _REPLICA,
            registry=registry,
        )
        self.is_in = Gauge(
            "tandem_replica_in",
            "1 while a replica takes batches, 0 while it is out.",
            _REPLICA,
            registry=registry,
        )
        self.ejections = Counter(
            "tandem_replica_ejections_total",
            "Times a replica was put out, by why: probe, or unreachable.",
            (*_REPLICA, "why"),
            registry=registry,
        )

    def forget(self, backend: str, replica: str) -> None:
        """Drop what was counted of a replica that is no longer configured."""
        for instrument in (self.pending, self.is_in):
            instrument.remove_by_labels({"backend": backend, "replica": replica})
        for counter in (self.batches, self.ejections):
            counter.remove_by_labels({"backend": backend, "replica": replica})
