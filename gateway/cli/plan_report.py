"""How is a plan told, to a person and to a program? And what does it not know?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.cli.plan_inputs import Measured
from gateway.cli.terminal import Terminal, milliseconds, percent, table
from gateway.simulation.curve import Point
from gateway.simulation.planning import Load, Prediction, Range, Served

__all__ = ["Answer", "Goal", "as_json", "as_text"]

_SHOWN = 3
_CLOSE_RATIO = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A latency to be kept. `found` has the fewest replicas that do; None if no number does."""

    slo_s: float
    found: Prediction | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """All that was asked and found.

    Attributes:
        percent: The percentile that counts.
        yours: With the limits that were asked for.
        tried: With others, the best first.
    """

    measured: Measured
    served: Served
    is_spread_assumed: bool
    is_overhead_known: bool
    load: Load
    percent: float
    yours: Prediction
    tried: list[Prediction]
    goal: Goal | None

    @property
    def best(self) -> Prediction:
        """With the best limits; yours, if nothing that was tried is better."""
        ours, theirs = self.yours, self.tried[0]
        if not ours.is_lasting or not theirs.is_lasting:
            return ours if ours.is_lasting else theirs
        is_as_good = (
            ours.percentiles_s[self.percent].middle <= theirs.percentiles_s[self.percent].middle
        )
        return ours if is_as_good else theirs

    def unknown(self) -> list[str]:
        """What the figures take for granted, a sentence each."""
        bursts = "arrivals are taken to be Poisson; bursts make the tail longer"
        return [*self.measured.doubts, *self._unmeasured(), *self._untold(), bursts]

    def _unmeasured(self) -> list[str]:
        """What was not measured of the curve, and is needed."""
        told = []
        curve, most = self.measured.curve, self.yours.limits.max_batch_rows
        unmeasured = max(one.unmeasured_ratio for one in (self.yours, self.best))
        if unmeasured:
            told.append(
                f"{percent(unmeasured)} of the batches have sizes that were not measured"
                f" ({curve.min_rows} to {curve.max_rows} rows were): extrapolated"
            )
        if most > curve.max_rows:
            told.append(
                f"batches above {curve.max_rows} rows were not measured: what {most} rows reach at"
                " most is extrapolated"
            )
        if len(curve.points) == 1:
            told.append("one measured size tells nothing of what batching saves: measure a second")
        return told

    def _untold(self) -> list[str]:
        """What nobody told, or no simulation can know."""
        shown, found = (self.yours, self.best), self.goal.found if self.goal else None
        spread = percent(self.served.spread_ratio)
        load = self.load.rows_per_s
        doubts = {
            f"how much batches of one size vary: {spread} of their mean is assumed (--spread)": (
                self.is_spread_assumed
            ),
            "time on the network and in the gateway is not in it (--overhead-ms)": (
                not self.is_overhead_known
            ),
            "replicas are taken to be alike and to have nothing in common": (
                self.served.replicas > 1 or (found is not None and found.replicas > 1)
            ),
            "waits that the gateway takes because it is short of time itself are not simulated": any(
                one.limits.max_delay_s for one in shown
            ),
            "this close to capacity latencies depend on how long the load lasts": any(
                load > _CLOSE_RATIO * one.capacity_rows_per_s for one in shown
            ),
        }
        return [doubt for doubt, holds in doubts.items() if holds]


def as_text(answer: Answer, terminal: Terminal) -> list[str]:
    """Lines for a person."""
    served, load = answer.served, answer.load
    points = " · ".join(
        f"{point.rows} {_rows(point.rows)} {milliseconds(point.seconds)}"
        for point in _thinned(answer.measured.curve.points)
    )
    mix = " and ".join(f"{rows} {_rows(rows)}" for rows in load.mix.rows)
    lines = [
        _field(terminal, "measured", answer.measured.origin),
        _field(terminal, "batches", points),
        _field(
            terminal,
            "load",
            f"{load.requests_per_s:,.6g} requests/s of {mix}: {load.rows_per_s:,.6g} rows/s on"
            f" {_count(served.replicas, 'replica')}",
        ),
        "",
        *(f" {line}" for line in _table(answer)),
        "",
        _field(terminal, "best limits", _limits(answer.best)),
    ]
    if answer.goal is not None:
        lines.append(_field(terminal, "SLO", _goal(answer, answer.goal)))
    lines += [
        _field(terminal, "" if number else "not known", doubt)
        for number, doubt in enumerate(answer.unknown())
    ]
    return lines


def as_json(answer: Answer) -> str:
    """The same for a program; times in milliseconds."""
    served, goal = answer.served, answer.goal
    told: dict[str, Any] = {
        "measured": {
            "origin": answer.measured.origin,
            "points": [
                {"rows": p.rows, "ms": p.seconds * 1e3, "batches": p.batches}
                for p in answer.measured.curve.points
            ],
            "spread_ratio": served.spread_ratio,
            "overhead_ms": served.overhead_s * 1e3,
        },
        "load": {
            "requests_per_s": answer.load.requests_per_s,
            "rows_per_s": answer.load.rows_per_s,
        },
        "yours": _prediction(answer.yours),
        "best": _prediction(answer.best),
        "tried": [_prediction(one) for one in answer.tried],
        "slo": None,
        "not_known": answer.unknown(),
    }
    if goal is not None:
        found = None if goal.found is None else _prediction(goal.found)
        told["slo"] = {"ms": goal.slo_s * 1e3, "percentile": answer.percent, "needs": found}
    return json.dumps(told, indent=2)


def _table(answer: Answer) -> list[str]:
    percentiles = sorted({50.0, 99.0, answer.percent})
    head = ["", "rows", "wait", "in flight", "rows/s at most", "load"]
    head += [*(f"p{one:g}" for one in percentiles), "rows/batch"]
    others = [one for one in answer.tried if one is not answer.best][:_SHOWN]
    named = [("yours", answer.yours)]
    if answer.best is not answer.yours:
        named.append(("best", answer.best))
    rows = [
        [
            name,
            f"{one.limits.max_batch_rows}",
            f"{one.limits.max_delay_s * 1e3:.3g} ms",
            f"{one.limits.max_in_flight}",
            f"{one.capacity_rows_per_s:,.0f}",
            percent(answer.load.rows_per_s / one.capacity_rows_per_s, 0),
            *(_latency(one, which) for which in percentiles),
            f"{one.rows_per_batch:.1f}" if one.is_lasting else "–",
        ]
        for name, one in [*named, *(("tried", one) for one in others)]
    ]
    return table(head, rows)


def _latency(found: Prediction, which: float) -> str:
    if not found.is_lasting:
        return "grows"
    told: Range = found.percentiles_s[which]
    return f"{milliseconds(told.middle)} [{_bare(told.low)}, {_bare(told.high)}]"


def _bare(value_s: float) -> str:
    return f"{value_s * 1e3:.3g}"


def _limits(found: Prediction) -> str:
    limits = found.limits
    return (
        f"max_batch_rows = {limits.max_batch_rows}, max_delay_ms = {limits.max_delay_s * 1e3:.3g},"
        f" max_in_flight = {limits.max_in_flight}"
    )


def _goal(answer: Answer, goal: Goal) -> str:
    wanted = f"p{answer.percent:g} ≤ {milliseconds(goal.slo_s)}"
    if goal.found is None:
        alone_s = answer.served.curve.at(min(answer.load.mix.rows)) + answer.served.overhead_s
        return (
            f"{wanted} is kept by no number of replicas: a request that waits for nobody takes"
            f" {milliseconds(alone_s)} on average"
        )
    found = goal.found
    return (
        f"{wanted} needs {_count(found.replicas, 'replica')}, with {_limits(found)}:"
        f" p{answer.percent:g} {_latency(found, answer.percent)}"
    )


def _prediction(found: Prediction) -> Mapping[str, Any]:
    limits = found.limits
    return {
        "max_batch_rows": limits.max_batch_rows,
        "max_delay_ms": limits.max_delay_s * 1e3,
        "max_in_flight": limits.max_in_flight,
        "replicas": found.replicas,
        "capacity_rows_per_s": found.capacity_rows_per_s,
        "is_lasting": found.is_lasting,
        "busy_ratio": found.used_ratio,
        "rows_per_batch": found.rows_per_batch if found.is_lasting else None,
        "refused_ratio": found.refused_ratio,
        "unmeasured_ratio": found.unmeasured_ratio,
        "latency_ms": {
            f"p{which:g}": {
                "middle": told.middle * 1e3,
                "low": told.low * 1e3,
                "high": told.high * 1e3,
            }
            for which, told in found.percentiles_s.items()
        },
    }


def _thinned(points: list[Point]) -> list[Point]:
    """At most six, ends included."""
    most = 6
    if len(points) <= most:
        return points
    return [points[round(n * (len(points) - 1) / (most - 1))] for n in range(most)]


def _field(terminal: Terminal, name: str, text: str) -> str:
    return f" {terminal.dim(f'{name:<12}')} {text}"


def _rows(count: int) -> str:
    return "row" if count == 1 else "rows"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
