"""What several workers tell is merged without losing or inventing a count."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from gateway.codecs.oip_statistics import BatchSize, ModelStatistics, Spent
from gateway.telemetry.metrics import ArmMetrics, Metrics
from gateway.telemetry.workers import WorkerMetrics
from gateway.workers.ledger import Ledger
from gateway.workers.merging import GAUGES, merged_families, merged_statistics
from gateway.workers.told import (
    Family,
    Told,
    families_of,
    metric_of,
    read_told,
    written_told,
)


def registry_of(requests: list[tuple[str, float]], in_flight: int = 0) -> CollectorRegistry:
    """A worker's, after these requests: (reason, seconds) each."""
    metrics = Metrics(CollectorRegistry(), version="1")
    arm = ArmMetrics(metrics, "m", "a")
    for reason, took_s in requests:
        arm.count_request("tfs_rest", reason)
        arm.request_seconds.observe(took_s)
    metrics.in_flight_requests.set(in_flight)
    metrics.arm_ready.labels("m", "a").set(1)
    return metrics.registry


def value(families: tuple[Family, ...], series: str, **labels: str) -> float:
    """The sum of the samples of a series that have these labels."""
    found = [s for family in families for s in family.samples if s.name == series]
    return sum(s.value for s in found if labels.items() <= s.labels.items())


requests = st.lists(
    st.tuples(st.sampled_from(["ok", "queue_full", "deadline"]), st.floats(0, 40)), max_size=20
)


@given(st.lists(requests, min_size=1, max_size=4))
def test_counters_and_histograms_are_what_one_worker_would_have_counted(
    shares: list[list[tuple[str, float]]],
) -> None:
    together = merged_families([families_of(registry_of(share)) for share in shares])
    alone = families_of(registry_of([request for share in shares for request in share]))
    for reason in ("ok", "queue_full", "deadline"):
        labels = {"reason": reason, "model": "m"}
        assert value(together, "tandem_requests_total", **labels) == value(
            alone, "tandem_requests_total", **labels
        )
    name = "tandem_request_duration_seconds"
    buckets = [s for f in alone if f.name == name for s in f.samples if s.name.endswith("_bucket")]
    for bucket in buckets:
        assert value(together, bucket.name, **bucket.labels) == bucket.value
    assert value(together, f"{name}_count") == value(alone, f"{name}_count")


def test_every_gauge_of_ours_has_a_rule() -> None:
    registries = [CollectorRegistry(), CollectorRegistry()]
    Metrics(registries[0], version="1")
    WorkerMetrics(registries[1], 2)
    gauges = {
        family.name
        for registry in registries
        for family in registry.collect()
        if family.type == "gauge"
    }
    assert gauges - set(GAUGES) == set(), "say in gateway/workers/merging.py how it is merged"


def test_what_there_is_is_added_up_and_what_is_well_is_so_everywhere() -> None:
    parts = [families_of(registry_of([], 2)), families_of(registry_of([], 3))]
    away = Metrics(CollectorRegistry(), version="1")
    away.arm_ready.labels("m", "a").set(0)
    together = merged_families([*parts, families_of(away.registry)])
    assert value(together, "tandem_in_flight_requests") == 5
    assert value(together, "tandem_arm_ready") == 0
    assert value(together, "tandem_build_info") == 1


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans(), requests), max_size=12))
def test_totals_never_go_back_whoever_dies(
    history: list[tuple[int, bool, list[tuple[str, float]]]],
) -> None:
    """Workers count, tell and die in any order; the total is all that was ever told."""
    ledger, ever = Ledger(), 0
    alive: dict[int, list[tuple[str, float]]] = {0: [], 1: [], 2: []}
    for number, dies, came in history:
        alive[number] += came
        ever += len(came)
        ledger.note(number, Told(families=families_of(registry_of(alive[number]))))
        if dies:
            ledger.bury(number)
            alive[number] = []
        assert value(ledger.families(), "tandem_requests_total") == ever


def test_a_dead_worker_leaves_no_gauges() -> None:
    ledger = Ledger()
    ledger.note(0, Told(families=families_of(registry_of([("ok", 1.0)], 7))))
    ledger.bury(0)
    assert value(ledger.families(), "tandem_in_flight_requests") == 0
    assert value(ledger.families(), "tandem_requests_total") == 1


def test_what_is_merged_is_what_prometheus_reads() -> None:
    registry = registry_of([("ok", 0.1)])

    class Merged(Collector):
        def collect(self) -> list[object]:  # type: ignore[override]  # as the library takes it
            return [metric_of(family) for family in merged_families([families_of(registry)])]

    merged = CollectorRegistry()
    merged.register(Merged())

    def ours(text: bytes) -> list[bytes]:
        return sorted(line for line in text.splitlines() if b"tandem_" in line)

    assert ours(generate_latest(merged)) == ours(generate_latest(registry))


spent = st.builds(Spent, st.integers(0, 9), st.floats(0, 9))
sizes = st.lists(st.builds(BatchSize, st.integers(1, 4), spent), max_size=3)
statistics = st.builds(
    ModelStatistics,
    name=st.sampled_from("mn"),
    version=st.sampled_from("12"),
    last_answered_ms=st.integers(0, 99),
    rows=st.integers(0, 99),
    success=spent,
    by_rows=sizes.map(tuple),
)


@given(st.lists(st.lists(statistics, max_size=3), max_size=3))
def test_statistics_are_added_up_by_model_version_and_size(
    parts: list[list[ModelStatistics]],
) -> None:
    merged = merged_statistics(parts)
    all_of_it = [one for part in parts for one in part]
    assert {(one.name, one.version) for one in merged} == {(o.name, o.version) for o in all_of_it}
    assert sum(one.rows for one in merged) == sum(one.rows for one in all_of_it)
    for one in merged:
        rows = [size.rows for size in one.by_rows]
        assert rows == sorted(set(rows))
    counts = [size.computed.count for one in merged for size in one.by_rows]
    assert sum(counts) == sum(s.computed.count for one in all_of_it for s in one.by_rows)


@given(st.lists(statistics, max_size=3).map(tuple))
def test_what_a_worker_tells_arrives_as_it_was(told: tuple[ModelStatistics, ...]) -> None:
    families = families_of(registry_of([("ok", 0.1)]))
    read = read_told(written_told(Told(families=families, statistics=told)))
    assert read.families == families
    assert merged_statistics([read.statistics]) == merged_statistics([told])
