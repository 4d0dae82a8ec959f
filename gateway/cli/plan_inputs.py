"""What was measured of a backend, and by whom? Points on the command line, a file, or a gateway's statistics.

A file is JSON: what `GET /v2/models/M/stats` of a gateway (or a Triton) answered, or

    {"points": [{"rows": 1, "ms": 5.5, "batches": 40}, …], "spread_ratio": 0.1, "overhead_ms": 0.6}

with everything but `rows` and `ms` left out where it is not known.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from gateway.cli.calls import ask_json
from gateway.cli.plan_numbers import MAX_MS, MAX_ROWS, MAX_SPREAD_RATIO, is_from_0_to
from gateway.cli.terminal import CommandError
from gateway.simulation.curve import LatencyCurve, Point, smoothed

__all__ = ["ASSUMED_SPREAD_RATIO", "Measured", "from_file", "from_gateway", "from_points"]

ASSUMED_SPREAD_RATIO = 0.1
_FEW_BATCHES = 100
_LEAST_MS = 1e-6
_WRONG = (ArithmeticError, AttributeError, KeyError, TypeError, ValueError)
"""What reading JSON of another form raises."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A latency curve, and what else is known of the path.

    Attributes:
        origin: Where it comes from, for a reader.
        spread_ratio: Standard deviation over mean of batches of one size; None if nobody knows.
        overhead_s: What a request takes besides its wait and its batch; None if nobody knows.
        max_batch_rows, max_delay_s: How the gateway that counted them batches; None if there is none.
        doubts: What the origin does not tell, a sentence each.
    """

    origin: str
    curve: LatencyCurve
    spread_ratio: float | None = None
    overhead_s: float | None = None
    max_batch_rows: int | None = None
    max_delay_s: float | None = None
    doubts: tuple[str, ...] = ()


def from_points(words: Sequence[str]) -> Measured:
    """`["1=5.5", "32=21"]`: rows and milliseconds.

    Raises:
        CommandError: a word is something else; its status is 2.
    """
    return Measured(origin="--point", curve=_curve([_point(word) for word in words], "--point"))


def from_file(path: Path) -> Measured:
    """What a file says.

    Raises:
        CommandError: it cannot be read, or says something else; its status is 2.
    """
    try:
        told = json.loads(path.read_bytes())
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}", status=2) from error
    except ValueError as error:
        raise CommandError(f"{path}: not JSON: {error}", status=2) from error
    if isinstance(told, dict) and "model_stats" in told:
        return _from_statistics(told, None, str(path))
    try:
        points = [
            Point(int(point["rows"]), float(point["ms"]) / 1e3, int(point.get("batches", 1)))
            for point in told["points"]
        ]
        overhead_ms = _told(told, "overhead_ms", MAX_MS)
        return Measured(
            origin=str(path),
            curve=_curve(points, str(path)),
            spread_ratio=_told(told, "spread_ratio", MAX_SPREAD_RATIO),
            overhead_s=None if overhead_ms is None else overhead_ms / 1e3,
        )
    except _WRONG as error:
        wanted = '{"points": [{"rows": 1, "ms": 5.5}, …]} or the answer of /v2/models/M/stats'
        raise CommandError(f"{path}: wants {wanted}; wrong: {error!r}", status=2) from error


def from_gateway(address: str, model: str, version: str | None) -> Measured:
    """What a running gateway has counted since it began: batches and seconds by size.

    Raises:
        CommandError: it cannot be reached, does not serve the model, or has seen no batch of it yet.
    """
    told = ask_json(address, f"/v2/models/{quote(model, safe='')}/stats")
    measured = _from_statistics(told, version, f"the gateway at {address}")
    of_version = "" if version is None else f"/versions/{quote(version, safe='')}"
    config = ask_json(address, f"/v2/models/{quote(model, safe='')}{of_version}/config")
    rows, delay_s = _batching(config, address)
    mixture = (
        "statistics add up all arms that serve a version: with several, the curve is their mixture"
    )
    return replace(
        measured,
        max_batch_rows=rows,
        max_delay_s=delay_s,
        doubts=(*measured.doubts, mixture),
    )


def _batching(config: Any, address: str) -> tuple[int, float]:
    """Rows in a batch, 1 for a model that has no batches, and the longest wait in seconds."""
    try:
        delay_us = config.get("dynamic_batching", {}).get("max_queue_delay_microseconds", 0)
        return max(1, int(config["max_batch_size"])), int(delay_us) / 1e6
    except _WRONG as error:
        raise CommandError(f"{address}: wants a model's configuration; wrong: {error!r}") from error


def _told(told: Mapping[str, Any], name: str, most: float) -> float | None:
    value = told.get(name)
    if value is None:
        return None
    if not is_from_0_to(most, float(value)):
        raise ValueError(f"{name}: got {value}, wants a number from 0 to {most:,.10g}")
    return float(value)


def _from_statistics(told: Any, version: str | None, origin: str) -> Measured:
    try:
        return _measured(told, version, origin)
    except _WRONG as error:
        raise CommandError(
            f"{origin}: wants the answer of /v2/models/M/stats; wrong: {error!r}", status=2
        ) from error


def _measured(told: Any, version: str | None, origin: str) -> Measured:
    found = _version_of(told, version, origin)
    points = smoothed(
        Point(int(size["batch_size"]), _mean_s(size["compute_infer"]), int(count))
        for size in found["batch_stats"]
        if (count := int(size["compute_infer"]["count"])) and int(size["batch_size"])
    )
    batches = sum(point.batches for point in points)
    doubts = (f"it rests on {batches} batches only",) if batches < _FEW_BATCHES else ()
    if not points:
        raise CommandError(
            f"{origin}: no batch of {found['name']} has been answered yet; send some requests of"
            " different sizes, or give --point ROWS=MS"
        )
    spent = found["inference_stats"]
    overhead_s = (
        _mean_s(spent["success"]) - _mean_s(spent["queue"]) - _mean_s(spent["compute_infer"])
    )
    return Measured(
        origin=f"{found['name']} version {found['version']}, {batches:,} batches, {origin}",
        curve=_curve(points, origin),
        overhead_s=max(0.0, overhead_s),
        doubts=doubts,
    )


def _version_of(told: Any, version: str | None, origin: str) -> Mapping[str, Any]:
    found: dict[str, Mapping[str, Any]] = {e["version"]: e for e in told["model_stats"]}
    if version is None and len(found) == 1:
        return next(iter(found.values()))
    if version not in found:
        raise CommandError(
            f"{origin} has versions {', '.join(sorted(found)) or 'of nothing'}; choose with --version"
        )
    return found[version]


def _mean_s(spent: Mapping[str, Any]) -> float:
    count = int(spent["count"])
    return int(spent["ns"]) / 1e9 / count if count else 0.0


def _point(word: str) -> Point:
    rows, _, ms = word.partition("=")
    try:
        return Point(int(rows), float(ms) / 1e3)
    except ValueError as error:
        raise CommandError(
            f"got --point {word!r}, wants ROWS=MS, such as 8=9.5", status=2
        ) from error


def _curve(points: Sequence[Point], origin: str) -> LatencyCurve:
    for point in points:
        rows_fit, ms = 1 <= point.rows <= MAX_ROWS, point.seconds * 1e3
        if not rows_fit or not _LEAST_MS <= ms <= MAX_MS:
            raise CommandError(
                f"{origin}: got {point.rows} rows in {ms:g} ms, wants rows from 1 to {MAX_ROWS:,} and"
                f" {_LEAST_MS:.6f} to {MAX_MS:,.0f} ms",
                status=2,
            )
    try:
        return LatencyCurve(points)
    except ValueError as error:
        raise CommandError(f"{origin}: {error}", status=2) from error
