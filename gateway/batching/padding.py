"""How do requests of different lengths become one batch, and what is theirs of its answer?

Pure. Every request is padded to the longest of its batch, not to the bound of its bucket. A bound would only
pay where a backend compiles each shape it meets, and such a backend wants the rows padded too; the signatures
that padding is for have a dynamic axis, so that any length is as good as another, and a shorter one is less work.
So a request that is alone, or among equals, is sent as it came.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gateway.batching.collate import join
from gateway.errors import BackendInvalid
from gateway.sequences import SequenceSpec
from gateway.tensors import Array, Tensor


@dataclass(frozen=True, slots=True)
class Padding:
    """What makes the requests of one batch equally long.

    Attributes:
        sequence: Which inputs and outputs have the axis, and what fills it.
        rows: Of each request.
        lengths: Of each request.
    """

    sequence: SequenceSpec
    rows: Sequence[int]
    lengths: Sequence[int]

    @classmethod
    def of(
        cls, sequence: SequenceSpec, requests: Sequence[tuple[Tensor, ...]], rows: Sequence[int]
    ) -> Padding:
        """The padding of requests that share a key with this sequence."""
        name, axis, _ = sequence.inputs[0]
        at = [tensor.name for tensor in requests[0]].index(name)
        return cls(sequence, rows, [request[at].array.shape[axis] for request in requests])

    @property
    def longest(self) -> int:
        """The length that the batch has."""
        return max(self.lengths)

    @property
    def is_needed(self) -> bool:
        """Whether its requests differ in their lengths."""
        return min(self.lengths) != self.longest

    @property
    def positions(self) -> int:
        """Places along the axis that the requests have, over all rows."""
        return sum([rows * length for rows, length in zip(self.rows, self.lengths, strict=True)])

    @property
    def added(self) -> int:
        """Places along the axis that padding adds to them."""
        return self.longest * sum(self.rows) - self.positions

    def joined_bytes(self, requests: Sequence[tuple[Tensor, ...]]) -> int:
        """How many bytes `join` copies, told from the longest request (≥ 1 row)."""
        widest = requests[self.lengths.index(self.longest)]
        total = sum(self.rows)
        return sum([tensor.array.nbytes // tensor.array.shape[0] * total for tensor in widest])

    def join(self, requests: Sequence[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        """One batch out of the inputs of several requests, in their order.

        Args:
            requests: Per request its inputs, the same names in the same order.

        Returns:
            `[sum of rows, …]` per input, as long as the longest request along its sequence axis.
        """
        ragged = {name: (axis, pad) for name, axis, pad in self.sequence.inputs}
        joined = []
        for parts in zip(*requests, strict=True):
            first = parts[0]
            if first.name in ragged:
                axis, pad = ragged[first.name]
                array = self._filled([part.array for part in parts], axis, pad)
                joined.append(Tensor(first.name, first.datatype, array))
            else:
                joined += join([(part,) for part in parts])
        return tuple(joined)

    def trimmed_bytes(self, outputs: tuple[Tensor, ...]) -> int:
        """How many bytes `trim` copies at most."""
        axes = dict(self.sequence.outputs)
        return sum([tensor.array.nbytes for tensor in outputs if tensor.name in axes])

    def check(self, outputs: tuple[Tensor, ...]) -> None:
        """Check that the outputs which are sequences are as long as the inputs were.

        Raises:
            BackendInvalid: the backend's fault; one has another length.
        """
        axes = dict(self.sequence.outputs)
        for tensor in outputs:
            axis = axes.get(tensor.name)
            if axis is not None and tensor.shape[axis : axis + 1] != (self.longest,):
                raise BackendInvalid(
                    f"got {list(tensor.shape)}, wanted {self.longest} in dimension {axis}, the"
                    " length of the sequences that were sent",
                    path=f"outputs[{tensor.name!r}]",
                )

    def trim(self, shares: Sequence[tuple[Tensor, ...]]) -> list[tuple[Tensor, ...]]:
        """The requests' shares of a batch, each cut to its request's own length: a copy where it is shorter."""
        axes = dict(self.sequence.outputs)
        return [
            share if length == self.longest else tuple([_cut(t, axes, length) for t in share])
            for share, length in zip(shares, self.lengths, strict=True)
        ]

    def _filled(self, parts: list[Array], axis: int, pad: float) -> Array:
        before = parts[0].shape[1:axis]
        after = parts[0].shape[axis + 1 :]
        shape = (sum(self.rows), *before, self.longest, *after)
        filled: Array = np.full(shape, pad, parts[0].dtype)
        start = 0
        for part, length in zip(parts, self.lengths, strict=True):
            end = start + part.shape[0]
            filled[(slice(start, end), *[slice(None)] * len(before), slice(length))] = part
            start = end
        return filled


def _cut(tensor: Tensor, axes: dict[str, int], length: int) -> Tensor:
    axis = axes.get(tensor.name)
    if axis is None:
        return tensor
    array = tensor.array[(*[slice(None)] * axis, slice(length))]
    return Tensor(tensor.name, tensor.datatype, np.ascontiguousarray(array))
