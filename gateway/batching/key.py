"""Which requests may share a batch? Those whose keys are equal."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from gateway.messages import Parameter
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
        inputs: Per input, in the request's order: name, datatype, shape without dim 0.
        outputs: The outputs asked for; empty for all.
        parameters: Name, value and the value's repr, sorted by name. The repr keeps apart what Python
            calls equal: `True`, `1` and `1.0`, or `0.0` and `-0.0`.
        batchable: Whether dim 0 of every tensor is rows. If not, the request travels alone, and
            `inputs` hold whole shapes.
        as_is: Whether it does not fit the signature and is sent, alone, for the backend to judge.
    """

    version: str | None
    signature: str
    inputs: tuple[tuple[str, Datatype, tuple[int, ...]], ...]
    outputs: tuple[str, ...]
    parameters: tuple[tuple[str, Parameter, str], ...]
    batchable: bool
    as_is: bool = False

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
        """The key of a request; `parameters` are only those that change what the backend does."""
        told = []
        for tensor in inputs:
            shape = tensor.array.shape
            if batchable:
                # A scalar has no row to leave out: its key is one that no tensor with rows can have.
                shape = shape[1:] if shape else _NO_ROWS
            told.append((tensor.name, tensor.datatype, shape))
        marks = _marks(parameters) if parameters else ()
        return cls(version, signature, tuple(told), outputs, marks, batchable)

    def with_parameters(self, parameters: Mapping[str, Parameter]) -> BatchKey:
        """The same key with these parameters, as `of` would have it."""
        return self._replace(parameters=_marks(parameters))

    def parameter_mapping(self) -> dict[str, Parameter]:
        """The parameters as they were given to `of`."""
        return {name: value for name, value, _ in self.parameters}


def _marks(parameters: Mapping[str, Parameter]) -> tuple[tuple[str, Parameter, str], ...]:
    return tuple([(k, parameters[k], repr(parameters[k])) for k in sorted(parameters)])
