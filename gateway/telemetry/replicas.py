"""What is counted of each replica of a backend? Labels are the configured names and addresses."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge

__all__ = ["ReplicaMetrics"]

_REPLICA = ("backend", "replica")


class ReplicaMetrics:
    """The instruments of replicas, registered in one registry; only backends with several have them.

    Invariant: `_owners` has an entry for each replica that is watched. A backend whose settings change is
    made anew before the one before it is closed, so both may name the same replica: the later one owns it.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._owners: dict[tuple[str, str], object] = {}
        self.batches = Counter(
            "tandem_replica_batches_total",
            "Batches sent to a replica; reason is ok, the error's, failed_over, or outrun by another replica's answer.",
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
        self.hedges = Counter(
            "tandem_replica_hedges_total",
            "Batches that a replica had for longer than its p95; outcome: another was asked and won, or lost; or refused.",
            (*_REPLICA, "outcome"),
            registry=registry,
        )

    def watch(
        self,
        backend: str,
        replica: str,
        *,
        owner: object,
        pending: Callable[[], float],
        is_in: Callable[[], bool],
    ) -> None:
        """Show a replica as `owner` sees it, from now on."""
        self._owners[backend, replica] = owner
        self.pending.labels(backend, replica).set_function(pending)
        self.is_in.labels(backend, replica).set_function(is_in)

    def forget(self, backend: str, replica: str, *, owner: object) -> None:
        """Drop what was counted of a replica, unless another than `owner` shows it by now."""
        if self._owners.get((backend, replica)) is not owner:
            return
        del self._owners[backend, replica]
        for instrument in (self.pending, self.is_in):
            instrument.remove_by_labels({"backend": backend, "replica": replica})
        for counter in (self.batches, self.ejections, self.hedges):
            counter.remove_by_labels({"backend": backend, "replica": replica})
