"""May this build be published? Only if both exports give the same, expected and steady answers.

`judge` is a pure function of the answers. What it checks, each within the definition's tolerance and with
the same decisions:

- torch against tensorflow: on ten samples, the test set, awkward batch sizes, bounds of other dimensions;
- each against the answers expected, which the definition gave eagerly in double precision: so that it
  shows which of the two went wrong;
- each against itself: asked twice, and asked in the company of other rows;
- each against the signature: names, datatypes, shapes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from gateway.tensors import DTYPES, Array
from model_store.definition import Definition
from model_store.held_out import HeldOut, Indices
from model_store.records import Framework, ParityCheck, ParityRecord
from serving.export.cases import AGAIN, ERROR, SAMPLES, TEST_SET, Case, Tensors
from serving.export.parity import Difference, Tolerance, compare, locate, merge

__all__ = ["FRAMEWORKS", "Answers", "Check", "Verdict", "judge", "rows_of"]

FRAMEWORKS: tuple[Framework, Framework] = ("torch", "tensorflow")

# What each framework answered: tensors by the key of the case.
Answers: TypeAlias = Mapping[Framework, Mapping[str, Tensors]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One comparison of two sides, `a` and `b` by name, on the same rows.

    Attributes:
        differences: One per output; the first axis of `worst` is a row of the test set.
        decisions, same_decisions: How many were compared, and how many were equal.
    """

    name: str
    a: str
    b: str
    rows: int
    differences: tuple[Difference, ...]
    decisions: int
    same_decisions: int

    @property
    def passed(self) -> bool:
        """Whether every output is the same and every decision too."""
        same = all(difference.is_same for difference in self.differences)
        return same and self.decisions == self.same_decisions


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the gate found. `problems` are those that no comparison shows: refusals, wrong signatures."""

    checks: tuple[Check, ...]
    problems: tuple[str, ...]
    accuracy: Mapping[str, float]
    loss: Mapping[str, float]

    @property
    def passed(self) -> bool:
        """Whether the build may be published."""
        return not self.problems and all(check.passed for check in self.checks)

    def check(self, name: str) -> Check:
        """The check of this name; KeyError if it was not made."""
        return {check.name: check for check in self.checks}[name]

    def record(self, definition: Definition) -> ParityRecord:
        """The same for the manifest."""
        return ParityRecord(
            atol=definition.atol,
            rtol=definition.rtol,
            decision=f"{definition.decision} of {definition.decision_output}",
            checks=tuple(_record(check) for check in self.checks),
        )


def judge(
    definition: Definition, held_out: HeldOut, cases: Sequence[Case], answers: Answers
) -> Verdict:
    """Compare everything that both exports answered."""
    problems = tuple(
        problem
        for framework in FRAMEWORKS
        for case in cases
        for problem in _problems(definition, framework, case, answers[framework][case.key])
    )
    if problems:
        return Verdict(checks=(), problems=problems, accuracy={}, loss={})
    judging = _Judging(definition, held_out, cases, answers)
    return Verdict(
        checks=judging.checks(),
        problems=(),
        accuracy={framework: judging.accuracy(framework) for framework in FRAMEWORKS},
        loss={framework: judging.loss(framework) for framework in FRAMEWORKS}
        if definition.recipe is not None
        else {},
    )


def rows_of(cases: Sequence[Case], answers: Mapping[str, Tensors], check: str) -> Tensors:
    """The outputs of all parts of a check, ordered by row of the test set; `[rows, …]` each."""
    parts = [case for case in cases if case.check == check]
    order = np.argsort(np.concatenate([case.rows for case in parts]), kind="stable")
    names = answers[parts[0].key]
    return {
        name: np.concatenate([answers[case.key][name] for case in parts])[order] for name in names
    }


@dataclass(frozen=True, slots=True)
class _Judging:
    definition: Definition
    held_out: HeldOut
    cases: Sequence[Case]
    answers: Answers

    def checks(self) -> tuple[Check, ...]:
        names = dict.fromkeys(case.check for case in self.cases if case.check != AGAIN)
        between = [self._between(name) for name in names]
        alone = [
            check
            for framework in FRAMEWORKS
            for check in (
                self._with_definition(framework),
                self._asked_twice(framework),
                self._in_company(framework),
            )
        ]
        return (*between, *alone)

    def accuracy(self, framework: Framework) -> float:
        rows, outputs = self._test_set(framework)
        return float(self.held_out.is_right(rows, outputs[self.definition.decision_output]).mean())

    def loss(self, framework: Framework) -> float:
        rows, outputs = self._test_set(framework)
        logits = outputs[self.definition.decision_output].astype(np.float64)
        logits = logits - logits.max(axis=1, keepdims=True)
        picked = logits[np.arange(len(rows)), self.held_out.labels[rows]]
        return float(np.mean(np.log(np.exp(logits).sum(axis=1)) - picked))

    def _between(self, name: str) -> Check:
        torch, tensorflow = (self.answers[framework] for framework in FRAMEWORKS)
        parts = [
            (case.rows, torch[case.key], tensorflow[case.key])
            for case in self.cases
            if case.check == name
        ]
        return self._check(name, ("torch", "tensorflow"), parts)

    def _with_definition(self, framework: Framework) -> Check:
        rows, outputs = self._test_set(framework)
        name = f"{framework} against the definition"
        return self._check(name, (framework, "expected"), [(rows, outputs, self.held_out.expected)])

    def _asked_twice(self, framework: Framework) -> Check:
        rows, first = self._samples(framework, SAMPLES)
        _, second = self._samples(framework, AGAIN)
        return self._check(f"{framework} asked twice", ("first", "second"), [(rows, first, second)])

    def _in_company(self, framework: Framework) -> Check:
        rows, alone = self._samples(framework, SAMPLES)
        _, outputs = self._test_set(framework)
        others = {name: array[rows] for name, array in outputs.items()}
        sides = ("ten samples", "test set")
        return self._check(f"{framework} in other company", sides, [(rows, alone, others)])

    def _check(
        self, name: str, sides: tuple[str, str], parts: Sequence[tuple[Indices, Tensors, Tensors]]
    ) -> Check:
        tolerance = Tolerance(atol=self.definition.atol, rtol=self.definition.rtol)
        same = [self._same_decisions(rows, a, b) for rows, a, b in parts]
        return Check(
            name=name,
            a=sides[0],
            b=sides[1],
            rows=sum(len(rows) for rows, _, _ in parts),
            differences=merge(
                locate(difference, rows)
                for rows, a, b in parts
                for difference in compare(a, b, tolerance)
            ),
            decisions=sum(len(equal) for equal in same),
            same_decisions=sum(int(equal.sum()) for equal in same),
        )

    def _same_decisions(self, rows: Indices, a: Tensors, b: Tensors) -> Array:
        output = self.definition.decision_output
        left, right = self.held_out.decide(rows, a[output]), self.held_out.decide(rows, b[output])
        return np.asarray(left == right)

    def _samples(self, framework: Framework, check: str) -> tuple[Indices, Tensors]:
        (case,) = (case for case in self.cases if case.check == check)
        return case.rows, self.answers[framework][case.key]

    def _test_set(self, framework: Framework) -> tuple[Indices, Tensors]:
        rows = np.arange(self.held_out.rows, dtype=np.int64)
        return rows, rows_of(self.cases, self.answers[framework], TEST_SET)


def _problems(
    definition: Definition, framework: Framework, case: Case, answer: Tensors
) -> list[str]:
    if ERROR in answer:
        return [f"{framework} refused {case.check} ({len(case.rows)} rows): {answer[ERROR]}"]
    declared = {entry.name: entry.as_spec() for entry in definition.signature.outputs}
    if set(answer) != set(declared):
        return [f"{framework}: got outputs {sorted(answer)}, the signature has {sorted(declared)}"]
    problems: list[str] = []
    for name, spec in declared.items():
        array = answer[name]
        fits = array.dtype == DTYPES[spec.datatype] and spec.accepts_shape(array.shape)
        if not fits or array.shape[0] != len(case.rows):
            problems.append(
                f"{framework}: {name}: got {array.dtype} {list(array.shape)}"
                f" for {len(case.rows)} rows of {case.check},"
                f" the signature has {DTYPES[spec.datatype]} {spec.describe_shape()}"
            )
    return problems


def _record(check: Check) -> ParityCheck:
    return ParityCheck(
        name=check.name,
        rows=check.rows,
        max_abs=max(difference.max_abs for difference in check.differences),
        max_ratio=max(difference.max_ratio for difference in check.differences),
        decisions=check.decisions,
        same_decisions=check.same_decisions,
        min_cosine=min(difference.min_cosine for difference in check.differences),
    )
