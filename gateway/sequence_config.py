"""What can be configured of sequences: which inputs and outputs have them, and which lengths go together.

A part of `config`, which has the rest and gives `SequenceConfig` again. Whether it fits a model is found out when
its backend describes it, in `control.fitting`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from annotated_types import Ge

__all__ = ["RaggedInputConfig", "RaggedOutputConfig", "SequenceConfig", "sequence_problems"]

_STRICT: Mapping[str, object] = {"extra": "forbid", "strict": False}

Axis = Annotated[int, Ge(1)]  # 0 is rows


@dataclass(frozen=True, slots=True, kw_only=True)
class RaggedInputConfig:
    """An input that is as long as the sequence along `axis`; `pad` fills it up."""

    __pydantic_config__: ClassVar = _STRICT
    axis: Axis = 1
    pad: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RaggedOutputConfig:
    """An output that is as long as the sequence along `axis`."""

    __pydantic_config__: ClassVar = _STRICT
    axis: Axis = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceConfig:
    """Which requests of a model may share a batch although their lengths differ: without inputs, none.

    Attributes:
        inputs: Every input with the sequence axis, the mask among them.
        outputs: Every output with it.
        buckets: Upper bounds of lengths, ascending; lengths of one bucket share batches.
        min_length: The shortest sequence that may be padded.
    """

    __pydantic_config__: ClassVar = _STRICT
    inputs: Mapping[str, RaggedInputConfig] = field(default_factory=dict)
    outputs: Mapping[str, RaggedOutputConfig] = field(default_factory=dict)
    buckets: tuple[Annotated[int, Ge(1)], ...] = ()
    min_length: Annotated[int, Ge(1)] = 1


def sequence_problems(where: str, sequence: SequenceConfig) -> list[tuple[str, str, str]]:
    """What is wrong with it whatever the model is; `where` is the sequence's.

    Returns:
        (dotted place, message, dotted place of what it contradicts, or "").
    """
    if sequence == SequenceConfig():
        return []
    problems, buckets = [], sequence.buckets
    if not sequence.inputs:
        problems.append((f"{where}.inputs", "wants the inputs that have the sequence axis", ""))
    if not buckets:
        wanted = "wants upper bounds of lengths, for example [16, 32, 48, 64]"
        problems.append((f"{where}.buckets", wanted, ""))
    elif list(buckets) != sorted(set(buckets)):
        wanted = f"got {list(buckets)}, wants each above the one before"
        problems.append((f"{where}.buckets", wanted, ""))
    elif sequence.min_length > buckets[0]:
        wanted = f"got {sequence.min_length}, wants at most {buckets[0]}, the first bucket"
        problems.append((f"{where}.min_length", wanted, f"{where}.buckets"))
    return problems
