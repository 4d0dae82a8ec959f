"""Which requests may share a batch? Those whose keys are equal."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from gateway.errors import InvalidRequest
from gateway.messages import Parameter, is_step
from gateway.sequences import SequenceSpec
from gateway.tensors import Datatype, Tensor

_NO_ROWS = (-1,)
_NO_PARAMETERS: Mapping[str, Parameter] = MappingProxyType({})


class BatchKey(NamedTuple):
    """All that must be equal in two requests before a backend may see them as one.

    A named tuple, because it is built and hashed once per request: three times cheaper than a
    frozen dataclass.

    Attributes:
        version: The model version asked of the backend, None for the backend's newest.
        signature: The signature's name.
        inputs: Per input, in the request's order: name, datatype, shape without dim 0; of a sequence not its
            length, but the bound of its bucket.
        outputs: The outputs asked for; empty for all.
        parameters: Name, value and the value's repr, sorted by name. The repr keeps apart what Python
            calls equal: `True`, `1` and `1.0`, or `0.0` and `-0.0`.
        batchable: Whether dim 0 of every tensor is rows that others may join. If not, the request travels alone, and
            `inputs` hold whole shapes.
        as_is: Whether it does not fit the signature and is sent, alone, for the backend to judge.
        sequence: How requests of different lengths are joined, None if their lengths are equal.
    """

    version: str | None
    signature: str
    inputs: tuple[tuple[str, Datatype, tuple[int, ...]], ...]
    outputs: tuple[str, ...]
    parameters: tuple[tuple[str, Parameter, str], ...]
    batchable: bool
    as_is: bool = False
    sequence: SequenceSpec | None = None

    @classmethod
    def of(
        cls,
        *,
        version: str | None,
        signature: str,
        inputs: tuple[Tensor, ...],
        batchable: bool,
        outputs: tuple[str, ...] = (),
        parameters: Mapping[str, Parameter] = _NO_PARAMETERS,
    ) -> BatchKey:
        """The key of a request; `parameters` are only those that change what the backend does.

        A step of a sequence is not batchable: neither joined with others, nor cut, nor sent again in halves.
        """
        if parameters and is_step(parameters):
            batchable = False
        told = []
        for tensor in inputs:
            shape = tensor.array.shape
            if batchable:
                # A scalar has no row to leave out: its key is one that no tensor with rows can have.
                shape = shape[1:] if shape else _NO_ROWS
            told.append((tensor.name, tensor.datatype, shape))
        marks = _marks(parameters) if parameters else ()
        return cls(version, signature, tuple(told), outputs, marks, batchable)

    def in_bucket(self, sequence: SequenceSpec) -> BatchKey:
        """The key that it shares with requests whose lengths fall into the same bucket.

        One that lacks a dimension keeps the key that it has: it does not fit the signature.

        Raises:
            InvalidRequest: the caller's fault; its inputs differ in their lengths.
        """
        axes = {ragged.name: ragged.axis - 1 for ragged in sequence.inputs}
        told, first = list(self.inputs), None
        for index, (name, datatype, shape) in enumerate(self.inputs):
            axis = axes.get(name)
            if axis is None:
                continue
            if len(shape) <= axis or shape is _NO_ROWS:
                return self
            if first is None:
                first = name, shape[axis]
            elif shape[axis] != first[1]:
                raise _unequal(name, shape[axis], *first)
            bound = sequence.bucket_of(shape[axis])
            told[index] = (name, datatype, (*shape[:axis], bound, *shape[axis + 1 :]))
        return self._replace(inputs=tuple(told), sequence=sequence)

    def parameter_mapping(self) -> dict[str, Parameter]:
        """The parameters as they were given to `of`."""
        return {name: value for name, value, _ in self.parameters}


def _unequal(name: str, length: int, first: str, wanted: int) -> InvalidRequest:
    return InvalidRequest(
        f"got a sequence of {length} in {name!r}, but of {wanted} in {first!r}", path="inputs"
    )


def _marks(parameters: Mapping[str, Parameter]) -> tuple[tuple[str, Parameter, str], ...]:
    return tuple([(k, parameters[k], repr(parameters[k])) for k in sorted(parameters)])
