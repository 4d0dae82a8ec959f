"""Why do two exports of the same weights disagree?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from model_store.definition import Definition
from model_store.held_out import HeldOut
from serving.export.cases import Case, Tensors
from serving.export.gate import Answers

__all__ = ["Cause", "Evidence", "likely_causes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """A likely cause, and what in the numbers speaks for it."""

    name: str
    evidence: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evidence:
    """Everything known after a failed gate."""

    definition: Definition
    held_out: HeldOut
    cases: Sequence[Case]
    answers: Answers
    torch_layers: Tensors
    keras_layers: Tensors
    torch_weights: Tensors
    keras_weights: Tensors


def likely_causes(evidence: Evidence) -> tuple[Cause, ...]:
    """The causes that the evidence speaks for, the likeliest first."""
    return ()
