"""How is a plan told to a person? And what does it not know?"""

from __future__ import annotations

import math
from dataclasses import dataclass

from gateway.cli.plan_inputs import Measured
from gateway.cli.plan_numbers import MAX_REPLICAS
from gateway.cli.terminal import Terminal, milliseconds, percent, table
from gateway.simulation.curve import Point
from gateway.simulation.planning import Load, Prediction, Range, Served

__all__ = ["Answer", "Goal", "as_text"]

_SHOWN = 3
_CLOSE_RATIO = 0.9
_FOUR_DIGITS_MS = 999.5
_MANY_BATCHES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A latency to be kept.

    Attributes:
        found: With the fewest replicas that keep it; None if no number that is simulated does.
        least: Fewer cannot take the load; None if a single request takes too long already.
    """

    slo_s: float
    found: Prediction | None = None
    least: int | None = None


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
    is_in_flight_known: bool
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
        return [*self.measured.doubts, *self._unmeasured(), *self._cut(), *self._untold(), bursts]

    def _cut(self) -> list[str]:
        """Where what was simulated is short."""
        shown = [one for one in (self.yours, self.best, self.goal and self.goal.found) if one]
        batches = min((one.batches_per_replica for one in shown if one.requests), default=math.inf)
        requests = [one.requests for one in shown if one.is_cut]
        told = []
        if batches < _MANY_BATCHES:
            told.append(
                f"a run gives each replica {batches:.2g} batches only: latencies are those of a"
                " beginning (--requests)"
            )
        if requests:
            told.append(
                f"latencies rest on five runs of {min(requests):,} requests: so many rows a request"
                " take too long to simulate"
            )
        return told

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
            "how many batches this gateway has in flight: as many as replicas are taken (--max-in-flight)": (
                not self.is_in_flight_known
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


def _table(answer: Answer) -> list[str]:
    percentiles = sorted({50.0, 99.0, answer.percent})
    head = ["", "rows", "wait", "in flight", "rows/s at most", "load"]
    head += [*(f"p{one:g}" for one in percentiles), "rows/batch"]
    shown = (answer.yours.limits, answer.best.limits)
    others = [one for one in answer.tried if one.limits not in shown][:_SHOWN]
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
    return f"{_bare(told.middle)} ms [{_bare(told.low)}, {_bare(told.high)}]"


def _bare(value_s: float) -> str:
    """Milliseconds, all rounded alike, so that a middle stays between its ends."""
    ms = value_s * 1e3
    return f"{ms:.3g}" if ms < _FOUR_DIGITS_MS else f"{ms:,.0f}"


def _limits(found: Prediction) -> str:
    limits = found.limits
    return (
        f"max_batch_rows = {limits.max_batch_rows}, max_delay_ms = {limits.max_delay_s * 1e3:.3g},"
        f" max_in_flight = {limits.max_in_flight}"
    )


def _goal(answer: Answer, goal: Goal) -> str:
    wanted = f"p{answer.percent:g} ≤ {milliseconds(goal.slo_s)}"
    if goal.found is None:
        return f"{wanted} {_why_not(answer, goal.least)}"
    found = goal.found
    return (
        f"{wanted} needs {_count(found.replicas, 'replica')}, with {_limits(found)}:"
        f" p{answer.percent:g} {_latency(found, answer.percent)}"
    )


def _why_not(answer: Answer, least: int | None) -> str:
    if least is not None and least > MAX_REPLICAS:
        return f"needs at least {least:,} replicas; more than {MAX_REPLICAS} are not simulated"
    alone_s = answer.served.curve.at(min(answer.load.mix.rows)) + answer.served.overhead_s
    alone = f"a request that waits for nobody takes {milliseconds(alone_s)} on average"
    if least is None:
        return f"is kept by no number of replicas: {alone}"
    return f"was kept by none of the numbers of replicas that were simulated: {alone}"


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
