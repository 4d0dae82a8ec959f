"""What did the demo find for one model, and is anything wrong? Gathers the figures and names the problems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from gateway.cli.demo.comparison import (
    Agreement,
    ArmFigures,
    Numbers,
    Ratio,
    SplitFigures,
    agreement,
    arm_figures,
    quantile,
    ratio,
    split_figures,
)
from gateway.cli.demo.samples import CONCURRENCIES, SURFACES
from gateway.cli.demo.traffic import Sent, Subject
from gateway.config import ModelConfig
from gateway.routing.split import choose

__all__ = ["Evidence", "Findings", "find"]

_SURPRISED = 4.5  # standard errors: by chance once in 150,000 demos
_SHOWN_ERRORS = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evidence:
    """All that was observed of one model.

    Attributes:
        sent: The requests of all blocks.
        reference: What each arm answered to the whole test set, `[rows, …]`.
        batches: How many batches each arm's backend was sent in the blocks.
        shadows: How many mirrored requests ended how, by shadow arm and outcome.
        atol, rtol: How far apart numbers of the same meaning may be.
        took_s: Of the blocks, by the clock on the wall.
    """

    subject: Subject
    config: ModelConfig
    sent: Sequence[Sent]
    reference: Mapping[str, Numbers]
    batches: Mapping[str, int]
    shadows: Mapping[tuple[str, str], int]
    atol: float
    rtol: float
    took_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """The figures of one model, ready to be printed.

    Attributes:
        arms: In the order of the configuration; the first is the baseline of the ratios.
        p50, p95: The other arms' times as multiples of the baseline's, where there were enough blocks.
        by_length: The same for p50, by the length that rows were padded to; empty without ragged inputs.
        agreements: The other arms' answers to the whole test set against the baseline's.
        steadiness: Every answer under traffic against the same arm's answer to the same rows alone.
        batch_rows: Mean rows of the batch that a request travelled in, by concurrency.
        surfaces: Median total in seconds, by surface, at the middle concurrency.
        problems: What must not be; empty when all is well.
    """

    model: str
    requests: int
    rows: int
    took_s: float
    test_rows: int
    arms: tuple[ArmFigures, ...]
    p50: tuple[Ratio, ...]
    p95: tuple[Ratio, ...]
    by_length: Mapping[int, Ratio]
    agreements: Mapping[str, Agreement]
    steadiness: Mapping[str, Agreement]
    split: SplitFigures
    shadows: Mapping[str, Mapping[str, int]]
    batch_rows: Mapping[int, float]
    surfaces: Mapping[str, float | None]
    problems: tuple[str, ...]


def find(evidence: Evidence) -> Findings:
    """Make figures of the evidence, and look for problems."""
    answered = [one for one in evidence.sent if not one.error]
    arms = tuple(_arm(evidence, name, answered) for name in evidence.config.arms)
    baseline, *others = evidence.config.arms
    agreements = {name: _agreement(evidence, name, baseline) for name in others}
    steadiness = {name: _steadiness(evidence, name, answered) for name in evidence.config.arms}
    split = split_figures(
        answered, weights=_weights(evidence), arm_of=lambda unit: _arm_of(evidence, unit)
    )
    shadows: dict[str, dict[str, int]] = {}
    for (arm, outcome), count in sorted(evidence.shadows.items()):
        shadows.setdefault(arm, {})[outcome] = count
    return Findings(
        model=evidence.subject.model,
        requests=len(evidence.sent),
        rows=sum(len(one.rows) for one in evidence.sent),
        took_s=evidence.took_s,
        test_rows=evidence.subject.held_out.rows,
        arms=arms,
        p50=_ratios(answered, baseline, others, q=0.5),
        p95=_ratios(answered, baseline, others, q=0.95),
        by_length=_by_length(evidence, answered, baseline, others),
        agreements=agreements,
        steadiness=steadiness,
        split=split,
        shadows=shadows,
        batch_rows=_batch_rows(answered),
        surfaces=_surfaces(answered),
        problems=(
            *_errors(evidence.sent),
            *_idle(arms, evidence),
            *_disagreements(agreements, steadiness, baseline),
            *_split_problems(split),
            *_shadow_problems(shadows),
        ),
    )


def _weights(evidence: Evidence) -> dict[str, float]:
    return {name: arm.weight for name, arm in evidence.config.arms.items()}


def _arm_of(evidence: Evidence, unit: str) -> str:
    salt = evidence.config.split.salt or evidence.subject.model
    return choose(_weights(evidence), unit, salt)


def _arm(evidence: Evidence, name: str, answered: Sequence[Sent]) -> ArmFigures:
    held_out = evidence.subject.held_out
    everything = np.arange(held_out.rows)
    return arm_figures(
        name,
        [one for one in answered if one.arm == name],
        failed=[one for one in evidence.sent if one.error and _arm_of(evidence, one.unit) == name],
        batches=evidence.batches.get(name, 0),
        accuracy=float(held_out.is_right(everything, evidence.reference[name]).mean()),
    )


def _ratios(
    answered: Sequence[Sent], baseline: str, others: Sequence[str], *, q: float
) -> tuple[Ratio, ...]:
    found = (ratio(answered, name, baseline, q=q) for name in others)
    return tuple(one for one in found if one is not None)


def _by_length(
    evidence: Evidence, answered: Sequence[Sent], baseline: str, others: Sequence[str]
) -> dict[int, Ratio]:
    held_out = evidence.subject.held_out
    if not held_out.ragged or len(others) != 1:
        return {}
    lengths: dict[int, list[Sent]] = {}
    for one in answered:
        lengths.setdefault(held_out.bucket(int(one.rows[0])), []).append(one)
    found = {
        length: ratio(sent, others[0], baseline, q=0.5) for length, sent in sorted(lengths.items())
    }
    return {length: one for length, one in found.items() if one is not None}


def _agreement(evidence: Evidence, name: str, baseline: str) -> Agreement:
    held_out = evidence.subject.held_out
    everything = np.arange(held_out.rows)
    return agreement(
        evidence.reference[name],
        evidence.reference[baseline],
        decide=lambda values: held_out.decide(everything, values),
        atol=evidence.atol,
        rtol=evidence.rtol,
    )


def _steadiness(evidence: Evidence, name: str, answered: Sequence[Sent]) -> Agreement:
    """Whether protocol, batch and neighbours leave an arm's answers as they are."""
    sent = [one for one in answered if one.arm == name and one.values is not None]
    if not sent:
        return Agreement(rows=0, same=0, max_abs=0.0, outside=0)
    rows = np.concatenate([one.rows for one in sent])
    return agreement(
        np.concatenate([one.values for one in sent if one.values is not None]),
        evidence.reference[name][rows],
        decide=lambda values: evidence.subject.held_out.decide(rows, values),
        atol=evidence.atol,
        rtol=evidence.rtol,
    )


def _batch_rows(answered: Sequence[Sent]) -> dict[int, float]:
    by_concurrency = {
        concurrency: [one.batch_rows for one in answered if one.concurrency == concurrency]
        for concurrency in CONCURRENCIES
    }
    return {concurrency: fmean(rows) for concurrency, rows in by_concurrency.items() if rows}


def _surfaces(answered: Sequence[Sent]) -> dict[str, float | None]:
    middle = CONCURRENCIES[len(CONCURRENCIES) // 2]
    return {
        surface: quantile(
            [
                one.total_s
                for one in answered
                if one.surface == surface and one.concurrency == middle
            ],
            0.5,
        )
        for surface in SURFACES
    }


def _errors(sent: Sequence[Sent]) -> list[str]:
    texts = [f"{one.surface}: {one.error}" for one in sent if one.error]
    if not texts:
        return []
    kinds = sorted(set(texts), key=texts.count, reverse=True)
    shown = [f"{texts.count(kind)} × {kind}" for kind in kinds[:_SHOWN_ERRORS]]
    more = [f"and {len(kinds) - _SHOWN_ERRORS} other errors"] if len(kinds) > _SHOWN_ERRORS else []
    return [*shown, *more]


def _idle(arms: Sequence[ArmFigures], evidence: Evidence) -> list[str]:
    return [
        f"arm {one.arm} has a weight and got no traffic"
        for one in arms
        if evidence.config.arms[one.arm].weight > 0 and one.requests == 0
    ]


def _disagreements(
    agreements: Mapping[str, Agreement], steadiness: Mapping[str, Agreement], baseline: str
) -> list[str]:
    return [
        f"{what}: {one.rows - one.same} of {one.rows} decisions differ, {one.outside} rows are"
        f" outside the tolerance, at most {one.max_abs:.2g} apart"
        for what, one in (
            *((f"{name} and {baseline} disagree", one) for name, one in agreements.items()),
            *((f"{name} answers otherwise under traffic", one) for name, one in steadiness.items()),
        )
        if not one.holds
    ]


def _split_problems(split: SplitFigures) -> list[str]:
    problems = []
    if split.moved:
        problems.append(f"not sticky: {', '.join(split.moved)} got more than one arm")
    if split.misplaced:
        problems.append(f"not the arm that hashing gives: {', '.join(split.misplaced)}")
    if split.surprise > _SURPRISED:
        problems.append(
            f"the split is {split.surprise:.1f} standard errors from the configured one"
        )
    return problems


def _shadow_problems(shadows: Mapping[str, Mapping[str, int]]) -> list[str]:
    return [
        f"shadow {arm}: {outcomes[bad]} × {bad}"
        for arm, outcomes in shadows.items()
        for bad in ("mismatch", "error")
        if outcomes.get(bad)
    ]
