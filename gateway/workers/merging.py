"""What do the metrics and statistics of several workers say together?

Rules:
- What is counted is added up: counters, histograms, statistics.
- A gauge is merged by what it means, in `GAUGES`: what there is of something is added up; whether all is well
  is so when every worker says so.
- One that is not in the table is added up, as most are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final

from gateway.codecs.oip_statistics import BatchSize, ModelStatistics, Spent
from gateway.workers.told import Family, Sample

__all__ = ["GAUGES", "counted", "merged_families", "merged_statistics"]

_Combine = Callable[[Iterable[float]], float]

GAUGES: Final[Mapping[str, _Combine]] = {
    # What there is now, in all.
    "tandem_queued_rows": sum,
    "tandem_in_flight_batches": sum,
    "tandem_in_flight_requests": sum,
    "tandem_in_flight_bytes": sum,
    "tandem_in_flight_limit": max,  # slots are shared; each worker finds how many pay
    "tandem_heavy_queued": sum,
    "tandem_replica_pending_batches": sum,
    # Whether all is well: as the worker sees it that sees it worst.
    "tandem_arm_ready": min,
    "tandem_replica_in": min,
    "tandem_config_last_reload_successful": min,
    # The same in every worker, but for the moment of a reload.
    "tandem_arm_weight": min,
    "tandem_build_info": max,
    "python_info": max,
    # Of processes: memory that they share counts in each; the first start, and the nearest bound.
    "process_virtual_memory_bytes": sum,
    "process_resident_memory_bytes": sum,
    "process_open_fds": sum,
    "process_start_time_seconds": min,
    "process_max_fds": min,
    # The supervisor's own, so there is nothing to merge.
    "tandem_workers": max,
}

_COUNTED: Final = frozenset({"counter", "histogram", "summary"})

_Series = tuple[str, tuple[tuple[str, str], ...]]


def merged_families(parts: Iterable[Iterable[Family]]) -> tuple[Family, ...]:
    """One family for each name, with one sample for each series; in the order that they first appear in."""
    found: dict[str, list[Family]] = {}
    for part in parts:
        for family in part:
            found.setdefault(family.name, []).append(family)
    return tuple(_merged(families) for families in found.values())


def counted(families: Iterable[Family]) -> tuple[Family, ...]:
    """Those that must not go back when their worker has ended."""
    return tuple(family for family in families if family.kind in _COUNTED)


def _merged(families: list[Family]) -> Family:
    first = families[0]
    combine = sum if first.kind in _COUNTED else GAUGES.get(first.name, sum)
    series: dict[_Series, list[float]] = {}
    for family in families:
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            series.setdefault(key, []).append(sample.value)
    samples = tuple(
        # When a series began is told beside counters, and is no count.
        Sample(name, dict(labels), float((min if name.endswith("_created") else combine)(values)))
        for (name, labels), values in series.items()
    )
    return replace(first, samples=samples)


def merged_statistics(parts: Iterable[Iterable[ModelStatistics]]) -> tuple[ModelStatistics, ...]:
    """One for each model and version."""
    found: dict[tuple[str, str], list[ModelStatistics]] = {}
    for part in parts:
        for one in part:
            found.setdefault((one.name, one.version), []).append(one)
    return tuple(_of_one(those) for those in found.values())


def _of_one(those: list[ModelStatistics]) -> ModelStatistics:
    return ModelStatistics(
        name=those[0].name,
        version=those[0].version,
        last_answered_ms=max(one.last_answered_ms for one in those),
        rows=sum(one.rows for one in those),
        batches=sum(one.batches for one in those),
        success=_total(one.success for one in those),
        fail=_total(one.fail for one in those),
        queued=_total(one.queued for one in those),
        computed=_total(one.computed for one in those),
        by_rows=_by_rows(size for one in those for size in one.by_rows),
    )


def _by_rows(sizes: Iterable[BatchSize]) -> tuple[BatchSize, ...]:
    found: defaultdict[int, list[Spent]] = defaultdict(list)
    for size in sizes:
        found[size.rows].append(size.computed)
    return tuple(BatchSize(rows, _total(spent)) for rows, spent in sorted(found.items()))


def _total(spent: Iterable[Spent]) -> Spent:
    all_of_it = list(spent)
    return Spent(sum(one.count for one in all_of_it), sum(one.seconds for one in all_of_it))
