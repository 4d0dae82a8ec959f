"""How is an outcome told to a person, and to a program?"""

from __future__ import annotations

from collections.abc import Mapping

from model_store.decode import encode
from model_store.definition import Definition
from model_store.records import ParityCheck
from serving.export.build import Outcome
from serving.export.cases import SAMPLES, TEST_SET
from serving.export.gate import Check
from serving.export.parity import Difference

__all__ = ["as_json", "describe", "summary"]

_ROW_WIDTH = 8


def summary(outcome: Outcome) -> str:
    """One line: `iris ✓ parity 1.2e-07, 10/10 and 30/30 same decisions, accuracy 0.967 both`."""
    manifest = outcome.manifest
    if manifest is None:
        return f"{outcome.model} ✗ not published: its exports do not give the same answers"
    checks = {check.name: check for check in manifest.parity.checks}
    note = ", unchanged" if outcome.status == "unchanged" else ""
    return (
        f"{outcome.model} ✓ parity {checks[TEST_SET].max_abs:.1e},"
        f" {_same(checks[SAMPLES])} and {_same(checks[TEST_SET])} same decisions,"
        f" accuracy {_accuracy(manifest.training.accuracy)}"
        f" (version {manifest.version}{note})"
    )


def describe(definition: Definition, outcome: Outcome) -> list[str]:
    """For a refused build: which outputs differ, where, by how much, and the likely causes."""
    verdict = outcome.verdict
    if verdict is None:
        return []
    lines = [f"{problem}" for problem in verdict.problems]
    for check in verdict.checks:
        if not check.passed:
            lines += _describe_check(definition, check)
    passed = sum(check.passed for check in verdict.checks)
    lines.append(f"{passed} of {len(verdict.checks)} checks passed")
    lines.append("likely causes:" if outcome.causes else "no known cause fits")
    for number, cause in enumerate(outcome.causes, start=1):
        lines += [f"  {number}. {cause.name}: {cause.evidence}"]
    return lines


def as_json(definition: Definition, outcome: Outcome) -> Mapping[str, object]:
    """Everything of an outcome, for `--json`."""
    return {
        "model": outcome.model,
        "status": outcome.status,
        "version": outcome.manifest.version if outcome.manifest else None,
        "summary": summary(outcome),
        "report": describe(definition, outcome),
        "causes": [encode(cause) for cause in outcome.causes],
        "parity": encode(outcome.manifest.parity) if outcome.manifest else None,
        "accuracy": _all_accuracy(outcome),
    }


def _all_accuracy(outcome: Outcome) -> Mapping[str, float]:
    if outcome.manifest is not None:
        return outcome.manifest.training.accuracy
    return outcome.verdict.accuracy if outcome.verdict is not None else {}


def _same(check: ParityCheck) -> str:
    return f"{check.same_decisions}/{check.decisions}"


def _accuracy(by_framework: Mapping[str, float]) -> str:
    if len(set(by_framework.values())) == 1:
        return f"{next(iter(by_framework.values())):.3f} both"
    return ", ".join(f"{name} {value:.3f}" for name, value in by_framework.items())


def _describe_check(definition: Definition, check: Check) -> list[str]:
    lines = [
        f"{check.name}: {_describe_difference(definition, check, difference)}"
        for difference in check.differences
        if not difference.is_same
    ]
    if check.same_decisions < check.decisions:
        lines.append(
            f"{check.name}: {check.decisions - check.same_decisions} of {check.decisions}"
            f" decisions differ ({definition.decision} of {definition.decision_output})"
        )
    return lines


def _describe_difference(definition: Definition, check: Check, difference: Difference) -> str:
    if difference.problem:
        return f"{difference.output}: {difference.problem} (a is {check.a}, b is {check.b})"
    row, *rest = difference.worst
    place = f"row {row}" + (f", element {rest}" if rest else "")
    return (
        f"{difference.output}: {difference.outside} of {difference.size} numbers differ by more than"
        f" {definition.atol:g} + {definition.rtol:g}·|x|; worst at {place}:"
        f" {check.a} {difference.a:.6g}, {check.b} {difference.b:.6g};"
        f" at most {difference.max_abs:.2g} apart, least cosine {difference.min_cosine:.6f}"
    )
