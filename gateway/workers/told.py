"""What does a worker tell of itself? Its metrics and statistics, as values that travel as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.samples import Sample as PrometheusSample
from pydantic import ConfigDict, TypeAdapter

from gateway.codecs.oip_statistics import ModelStatistics

__all__ = [
    "Family",
    "Sample",
    "Told",
    "families_of",
    "metric_of",
    "read_statistics",
    "read_told",
    "written_statistics",
    "written_told",
]


@dataclass(frozen=True, slots=True)
class Sample:
    """One number of a family, by the name of its series and its labels."""

    __pydantic_config__ = ConfigDict(ser_json_inf_nan="constants")  # else null, which is no number

    name: str
    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Family:
    """A metric, as Prometheus' text has it: `kind` is `counter`, `gauge`, `histogram` and so on."""

    name: str
    kind: str
    text: str
    unit: str
    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """All of it, at one moment."""

    families: tuple[Family, ...] = ()
    statistics: tuple[ModelStatistics, ...] = ()


_TOLD: TypeAdapter[Told] = TypeAdapter(Told)
_STATISTICS: TypeAdapter[tuple[ModelStatistics, ...]] = TypeAdapter(tuple[ModelStatistics, ...])


def families_of(registry: CollectorRegistry) -> tuple[Family, ...]:
    """A registry as it stands."""
    return tuple(
        Family(
            found.name,
            found.type,
            found.documentation,
            found.unit,
            tuple(Sample(s.name, s.labels, s.value) for s in found.samples),
        )
        for found in registry.collect()
    )


def metric_of(family: Family) -> Metric:
    """The family as prometheus_client writes it."""
    metric = Metric(family.name, family.text, family.kind, family.unit)
    metric.samples = [PrometheusSample(s.name, dict(s.labels), s.value) for s in family.samples]
    return metric


def written_told(told: Told) -> bytes:
    """JSON for `read_told`."""
    return _TOLD.dump_json(told)


def read_told(data: bytes) -> Told:
    """What `written_told` wrote; ValueError for anything else."""
    return _TOLD.validate_json(data)


def written_statistics(statistics: tuple[ModelStatistics, ...]) -> bytes:
    """JSON for `read_statistics`."""
    return _STATISTICS.dump_json(statistics)


def read_statistics(data: bytes) -> tuple[ModelStatistics, ...]:
    """What `written_statistics` wrote; ValueError for anything else."""
    return _STATISTICS.validate_json(data)
