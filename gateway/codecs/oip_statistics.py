"""How are a model's statistics told in the Open Inference Protocol (its statistics extension)?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from gateway._stubs import oip_wire_pb2 as pb
from gateway.codecs.json_text import dump
from gateway.codecs.protobuf import parse, serialize

__all__ = [
    "BatchSize",
    "ModelStatistics",
    "Spent",
    "decode_statistics_request",
    "encode_statistics_json",
    "encode_statistics_proto",
]


@dataclass(frozen=True, slots=True)
class Spent:
    """How often something happened, and the seconds that it took in all."""

    count: int = 0
    seconds: float = 0.0

    @property
    def ns(self) -> int:
        """The same in nanoseconds, which is what the protocol counts in."""
        return round(self.seconds * 1e9)


@dataclass(frozen=True, slots=True)
class BatchSize:
    """The batches of so many `rows`, and what the backend took for them."""

    rows: int
    computed: Spent


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelStatistics:
    """What has become of the requests to one version.

    Attributes:
        name, version: The model's.
        last_answered_ms: When the last answer was given, in milliseconds since 1970; 0 for never.
        rows: Of requests that were answered.
        batches: That the backend answered.
        success, fail: Requests, from their last byte to the end of their answer.
        queued: Answered requests, until their batch left.
        computed: Requests in answered batches, each with the whole time of its batch.
        by_rows: Batches by their size, the smallest first.
    """

    name: str
    version: str
    last_answered_ms: int = 0
    rows: int = 0
    batches: int = 0
    success: Spent = Spent()
    fail: Spent = Spent()
    queued: Spent = Spent()
    computed: Spent = Spent()
    by_rows: Sequence[BatchSize] = ()


_NOTHING = Spent()
"""For what Triton times and a gateway does not have: moving tensors to a device, and a response cache."""


def decode_statistics_request(data: bytes) -> tuple[str, str | None]:
    """Model and version of a ModelStatisticsRequest; "" is every model. Raises: InvalidRequest."""
    message = parse(pb.ModelStatisticsRequest, data)
    return message.name, message.version or None


def encode_statistics_json(told: Iterable[ModelStatistics]) -> bytes:
    """The answer of `/v2/models/…/stats`."""
    return dump({"model_stats": [_told(one) for one in told]})


def encode_statistics_proto(told: Iterable[ModelStatistics]) -> bytes:
    """A ModelStatisticsResponse."""
    models = [pb.ModelStatistics(**_told(one)) for one in told]
    return serialize(pb.ModelStatisticsResponse(model_stats=models))


def _told(one: ModelStatistics) -> dict[str, Any]:
    # JSON and protobuf have the same names here, so one form serves both.
    return {
        "name": one.name,
        "version": one.version,
        "last_inference": one.last_answered_ms,
        "inference_count": one.rows,
        "execution_count": one.batches,
        "inference_stats": {
            "success": _duration(one.success),
            "fail": _duration(one.fail),
            "queue": _duration(one.queued),
            **_compute(one.computed),
            "cache_hit": _duration(_NOTHING),
            "cache_miss": _duration(_NOTHING),
        },
        "batch_stats": [
            {"batch_size": size.rows, **_compute(size.computed)} for size in one.by_rows
        ],
    }


def _compute(spent: Spent) -> dict[str, dict[str, int]]:
    instant = _duration(Spent(spent.count))
    return {
        "compute_input": instant,
        "compute_infer": _duration(spent),
        "compute_output": instant,
    }


def _duration(spent: Spent) -> dict[str, int]:
    return {"count": spent.count, "ns": spent.ns}
