"""The light instruments say at the scrape what prometheus_client's own would say."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import generate_latest

from gateway.telemetry.instruments import Counters, Distributions

BUCKETS = (0.25, 0.5, 1.0, 2.5)
LABELS = ("model", "arm")
values = st.one_of(st.sampled_from(BUCKETS), st.floats(0, 5))
children = st.tuples(st.sampled_from("ab"), st.sampled_from(["", 'q"\\\n']))


def told(registry: CollectorRegistry) -> list[bytes]:
    """What a scrape shows, but for the times of creation, which ours do not tell."""
    return [line for line in generate_latest(registry).splitlines() if b"_created" not in line]


@given(st.lists(st.tuples(children, values)))
def test_a_distribution_is_a_prometheus_histogram(
    observed: list[tuple[tuple[str, str], float]],
) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    light = Distributions("t_seconds", "Help.", LABELS, buckets=BUCKETS, registry=ours)
    usual = Histogram("t_seconds", "Help.", LABELS, buckets=BUCKETS, registry=theirs)
    for labels, value in observed:
        light.labels(*labels).observe(value)
        usual.labels(*labels).observe(value)
    assert told(ours) == told(theirs)


@given(st.lists(st.tuples(children, st.integers(0, 9))))
def test_counters_are_prometheus_counters(counted: list[tuple[tuple[str, str], int]]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    light = Counters("t_total", "Help.", LABELS, registry=ours)
    usual = Counter("t_total", "Help.", LABELS, registry=theirs)
    for labels, amount in counted:
        light.labels(*labels).inc(amount)
        usual.labels(*labels).inc(amount)
    assert told(ours) == told(theirs)


def test_a_scrape_in_another_thread_meets_new_children() -> None:
    registry = CollectorRegistry()
    light = Counters("t_total", "Help.", LABELS, registry=registry)
    spread = Distributions("t_seconds", "Help.", LABELS, buckets=BUCKETS, registry=registry)

    def grow() -> None:
        for number in range(30_000):
            light.labels(str(number), "").inc()
            spread.labels(str(number), "").observe(1.0)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(1) as pool:
            growing = pool.submit(grow)
            while not growing.done():
                generate_latest(registry)
    finally:
        sys.setswitchinterval(before)
    growing.result()


def test_one_name_is_one_family() -> None:
    registry = CollectorRegistry()
    Counters("t_total", "Help.", LABELS, registry=registry)
    with pytest.raises(ValueError, match="t_total"):
        Counter("t_total", "Help.", LABELS, registry=registry)
