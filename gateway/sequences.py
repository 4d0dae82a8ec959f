"""How may requests of different lengths share a batch, with this signature?"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["RaggedInput", "RaggedOutput", "SequenceSpec"]


class RaggedInput(NamedTuple):
    """An input that is as long as the sequence along `axis` (not 0, which is rows); `pad` fills it up."""

    name: str
    axis: int
    pad: float


class RaggedOutput(NamedTuple):
    """An output that is as long as the sequence along `axis`."""

    name: str
    axis: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceSpec:
    """What is configured of a model's sequences, and fits its signature. Hashable: keys have it.

    Attributes:
        inputs: Every input with the sequence axis; at least one.
        outputs: Every output with it.
        buckets: Upper bounds of lengths, ascending; at least one. Lengths of one bucket share batches.
        min_length: The shortest sequence that may be padded.
    """

    inputs: tuple[RaggedInput, ...]
    outputs: tuple[RaggedOutput, ...]
    buckets: tuple[int, ...]
    min_length: int = 1

    def bucket_of(self, length: int) -> int:
        """The bound of the bucket that a length falls into; a length outside of all is its own."""
        if not self.min_length <= length <= self.buckets[-1]:
            return length
        return self.buckets[bisect_left(self.buckets, length)]
