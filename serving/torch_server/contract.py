"""Do these tensors fit what the model declares, before native code sees them?

AOTInductor checks little by itself: on inputs of another shape, dtype or memory layout it may fail with
C++ text, or answer wrong numbers without a word. So nothing reaches a worker that has not passed here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gateway.errors import BackendInvalid, InvalidRequest
from gateway.tensors import DTYPES, Array, Signature, Tensor, check_inputs, datatype_of
from model_store.records import ModelSignature, TensorEntry

__all__ = ["Contract"]

# Two warm-up calls: the least of every dimension, and more, so that both kinds of kernel have run.
_WARM_SIZE = 16


@dataclass(frozen=True, slots=True)
class Contract:
    """What one version takes and gives; made once, when it is loaded."""

    model: str
    declared: ModelSignature
    signature: Signature
    all_outputs: tuple[int, ...]

    @classmethod
    def of(cls, model: str, declared: ModelSignature) -> Contract:
        """The contract of a manifest's signature."""
        outputs = tuple(range(len(declared.outputs)))
        return cls(model, declared, declared.as_signature(), outputs)

    def order_inputs(self, inputs: tuple[Tensor, ...]) -> tuple[Array, ...]:
        """The arrays in the order in which the package takes them, C-contiguous, bounds checked.

        Raises:
            InvalidRequest: names the input, what was got and what the model wants.
        """
        check_inputs(self.model, self.signature, inputs)
        by_name = {tensor.name: (index, tensor.array) for index, tensor in enumerate(inputs)}
        sizes: dict[str, tuple[str, int]] = {}
        ordered = []
        for entry in self.declared.inputs:
            index, array = by_name[entry.name]
            _check_sizes(entry, array.shape, sizes, f"inputs[{index}].shape")
            ordered.append(np.ascontiguousarray(array).reshape(array.shape))
        return tuple(ordered)

    def choose_outputs(self, names: tuple[str, ...]) -> tuple[int, ...]:
        """Which outputs, by position: all of them if no name is given.

        Raises:
            InvalidRequest: a name that is not an output, or given twice.
        """
        if not names:
            return self.all_outputs
        known = [entry.name for entry in self.declared.outputs]
        for index, name in enumerate(names):
            if name not in known or name in names[:index]:
                problem = "is given twice" if name in known else f"model {self.model} has {known}"
                raise InvalidRequest(
                    f"got output {name!r}, {problem}", path=f"outputs[{index}].name"
                )
        return tuple(known.index(name) for name in names)

    def name_outputs(
        self, arrays: tuple[Array, ...], inputs: tuple[Array, ...]
    ) -> tuple[Tensor, ...]:
        """The package's outputs under the manifest's names, in its order.

        Raises:
            BackendInvalid: the package gave another number of outputs, dtype or shape than declared.
        """
        entries = self.declared.outputs
        if len(arrays) != len(entries):
            raise BackendInvalid(
                f"package of {self.model} gave {len(arrays)} outputs, its manifest says {len(entries)}"
            )
        sizes = _sizes_of(self.declared.inputs, inputs)
        for entry, array in zip(entries, arrays, strict=True):
            self._check_output(entry, array, sizes)
        return tuple(
            Tensor(entry.name, entry.datatype, array)
            for entry, array in zip(entries, arrays, strict=True)
        )

    def _check_output(self, entry: TensorEntry, array: Array, sizes: Mapping[str, int]) -> None:
        wanted = list(entry.shape)
        for dim in entry.dynamic:
            wanted[dim.axis] = sizes.get(dim.name, -1)
        shape = array.shape
        fits = len(shape) == len(wanted) and all(
            want in (-1, got) for got, want in zip(shape, wanted, strict=True)
        )
        if datatype_of(array) != entry.datatype or not fits:
            raise BackendInvalid(
                f"package of {self.model} gave {datatype_of(array)} {list(shape)} for output"
                f" {entry.name!r}, its manifest says {entry.datatype} {wanted}"
            )

    def warm_inputs(self) -> tuple[tuple[Array, ...], ...]:
        """Zeros for the calls that warm a worker up: every dynamic size at its least, then larger."""
        return tuple(
            tuple(_zeros(entry, size) for entry in self.declared.inputs) for size in (0, _WARM_SIZE)
        )


def _check_sizes(
    entry: TensorEntry, shape: tuple[int, ...], sizes: dict[str, tuple[str, int]], path: str
) -> None:
    """Check one input's dynamic sizes: within bounds, and as in the inputs before it (`sizes`)."""
    for dim in entry.dynamic:
        got = shape[dim.axis]
        if not dim.min <= got <= dim.max:
            raise InvalidRequest(
                f"got {got} {dim.name} in {entry.name!r}, the model wants {dim.min} to {dim.max}",
                path=path,
            )
        other, size = sizes.setdefault(dim.name, (entry.name, got))
        if size != got:
            raise InvalidRequest(
                f"got {got} {dim.name} in {entry.name!r}, but {size} in {other!r}", path=path
            )


def _sizes_of(entries: tuple[TensorEntry, ...], arrays: tuple[Array, ...]) -> dict[str, int]:
    return {
        dim.name: array.shape[dim.axis]
        for entry, array in zip(entries, arrays, strict=True)
        for dim in entry.dynamic
    }


def _zeros(entry: TensorEntry, size: int) -> Array:
    shape = list(entry.shape)
    for dim in entry.dynamic:
        shape[dim.axis] = min(max(size, dim.min), dim.max)
    return np.zeros(shape, DTYPES[entry.datatype])
