"""Why do two exports of the same weights disagree?

The likeliest first: what the answers alone show (training mode, softmax, another order of classes, another
dtype, a refused size), then the first layer at which the definitions part, and last the exports themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from gateway.tensors import Array
from model_store.definition import Definition
from model_store.held_out import HeldOut
from model_store.records import Framework
from serving.export.cases import AGAIN, ERROR, SAMPLES, TEST_SET, Case
from serving.export.gate import FRAMEWORKS, Answers, rows_of
from serving.export.layers import (
    Cause,
    Layers,
    Numbers,
    explain_layer,
    first_difference,
    is_close,
    softmax,
)

__all__ = ["Cause", "Evidence", "likely_causes"]

# Numbers that went through TF32, BF16 or FP16 are off by about this share.
_REDUCED_RATIO = 0.02

_MAX_CLASSES = 4096  # beyond it, the search for another order of classes would cost too much


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evidence:
    """Everything known after the gate refused a build."""

    definition: Definition
    held_out: HeldOut
    cases: Sequence[Case]
    answers: Answers
    layers: Layers


def likely_causes(evidence: Evidence) -> tuple[Cause, ...]:
    """The causes that the evidence speaks for, the likeliest first; empty if none is known to fit."""
    causes = list(_refusals(evidence)) or list(_misfits(evidence))
    if causes:
        return tuple(causes)
    causes += [cause for framework in FRAMEWORKS for cause in _unsteady(evidence, framework)]
    causes += _relations(evidence)
    parted = first_difference(evidence.layers)
    if parted is not None:
        causes += explain_layer(evidence.layers, parted) or [_unexplained(evidence.layers, parted)]
    elif not causes:
        causes += _exports(evidence)
    return tuple(dict.fromkeys(causes))


def _refusals(evidence: Evidence) -> Iterator[Cause]:
    for framework in FRAMEWORKS:
        answers = evidence.answers[framework]
        refused = [case.check for case in evidence.cases if ERROR in answers[case.key]]
        taken = [case.check for case in evidence.cases if ERROR not in answers[case.key]]
        if refused and taken:
            yield Cause(
                name="a dimension was fixed or bounded by the export",
                evidence=f"{framework} answered {_list(taken)}, and refused {_list(refused)}",
            )
        elif refused:
            text = str(answers[evidence.cases[0].key][ERROR]).splitlines()[0]
            yield Cause(name="the export does not run", evidence=f"{framework}: {text}")


def _list(checks: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(checks))


def _misfits(evidence: Evidence) -> Iterator[Cause]:
    """Names, dtypes and shapes: where these differ, numbers cannot be compared."""
    torch, tensorflow = (evidence.answers[f][f"{SAMPLES}#0"] for f in FRAMEWORKS)
    if set(torch) != set(tensorflow):
        text = f"{sorted(torch)} from torch, {sorted(tensorflow)} from tensorflow"
        yield Cause(name="output names", evidence=text)
        return
    for name, a in torch.items():
        b = tensorflow[name]
        for kind, ours, theirs in (("dtype", a.dtype, b.dtype), ("shape", a.shape, b.shape)):
            if ours != theirs:
                text = f"{name}: {ours} from torch, {theirs} from tensorflow"
                yield Cause(name=kind, evidence=text)


def _unsteady(evidence: Evidence, framework: Framework) -> Iterator[Cause]:
    answers = evidence.answers[framework]
    output = evidence.definition.decision_output
    first, second = (answers[f"{check}#0"][output] for check in (SAMPLES, AGAIN))
    (rows,) = (case.rows for case in evidence.cases if case.check == SAMPLES)
    others = rows_of(evidence.cases, answers, TEST_SET)[output][rows]
    if not is_close(first, second):
        text = f"{framework} answered the same ten samples up to {_apart(first, second):.2g} differently"
        yield Cause(name="eval mode left off", evidence=f"{text} the second time, as dropout does")
    elif not is_close(first, others):
        text = (
            f"{framework} answers a row up to {_apart(first, others):.2g} differently with others"
        )
        yield Cause(
            name="eval mode left off",
            evidence=f"{text} in its batch, as BatchNorm does that uses the batch's own statistics",
        )


def _relations(evidence: Evidence) -> Iterator[Cause]:
    """What the two outputs have to do with each other."""
    output = evidence.definition.decision_output
    a, b = (
        rows_of(evidence.cases, evidence.answers[framework], TEST_SET)[output].astype(np.float64)
        for framework in FRAMEWORKS
    )
    if is_close(a, b):
        return
    for who, plain, other in (("tensorflow", a, b), ("torch", b, a)):
        if is_close(softmax(plain), other):
            text = f"{output} of {who} is the softmax of the other's"
            yield Cause(name="softmax vs logits", evidence=text)
        elif is_close(np.log(softmax(plain)), other):
            text = f"{output} of {who} is the log-softmax of the other's"
            yield Cause(name="softmax vs logits", evidence=text)
    order = _another_order(a, b)
    if order is not None:
        text = f"{output}: tensorflow's columns are torch's in the order {order}"
        yield Cause(name="output order", evidence=text)


def _another_order(a: Numbers, b: Numbers) -> list[int] | None:
    if a.ndim != 2 or a.shape[1] > _MAX_CLASSES:  # noqa: PLR2004  # rows and columns
        return None
    order = [int(np.argmin(np.abs(a - b[:, [column]]).max(axis=0))) for column in range(b.shape[1])]
    is_permutation = sorted(order) == list(range(a.shape[1]))
    return order if is_permutation and is_close(a[:, order], b) else None


def _unexplained(layers: Layers, name: str) -> Cause:
    a, b = layers.torch[name], layers.keras[name]
    apart = f", up to {_apart(a, b):.2g} apart" if a.shape == b.shape else ""
    return Cause(
        name="the definitions differ",
        evidence=f"{name} is the first layer whose outputs differ{apart}; those before it agree",
    )


def _exports(evidence: Evidence) -> Iterator[Cause]:
    """The definitions agree layer by layer, so an export changed the numbers."""
    output = evidence.definition.decision_output
    expected = evidence.held_out.expected[output]
    for framework in FRAMEWORKS:
        got = rows_of(evidence.cases, evidence.answers[framework], TEST_SET)[output]
        if is_close(got, expected):
            continue
        share = _apart(got, expected) / float(np.abs(expected).max())
        reduced = ", as reduced precision (TF32, BF16, FP16) does" if share < _REDUCED_RATIO else ""
        yield Cause(
            name="the export changed the numbers",
            evidence=f"the definitions agree layer by layer, but {framework}'s export is off by"
            f" {share:.1%} of the largest number{reduced}: look at its compiler options",
        )


def _apart(a: Array, b: Array) -> float:
    return float(np.abs(a.astype(np.float64) - b.astype(np.float64)).max())
