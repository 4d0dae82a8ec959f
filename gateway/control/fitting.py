"""Does what is configured of a model's sequences fit what a backend says of the model? Pure.

Rules:
- A declaration counts for every signature that has all of its inputs; one at least must.
- What does not fit is said, and nothing of that arm is padded: padding makes answers cheaper, so a mistake in it,
  or a new version of the model, must not cost them.
- An output that may be of any length must be declared: else nobody could tell its padding from its answer.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace

import numpy as np

from gateway.messages import ModelDescription
from gateway.sequence_config import SequenceConfig
from gateway.sequences import RaggedInput, RaggedOutput, SequenceSpec
from gateway.tensors import DTYPES, Datatype, Signature, TensorSpec

__all__ = ["with_sequence"]


def with_sequence(
    where: str, sequence: SequenceConfig, description: ModelDescription
) -> tuple[ModelDescription, str]:
    """The description, its signatures told how their requests are padded; and what does not fit, "" if all does.

    Args:
        where: The setting, dotted.
        sequence: A sound one, see `sequence_config.sequence_problems`.
        description: As the backend gave it; given back unchanged where something does not fit.
    """
    if not sequence.inputs:
        return description, ""
    fitting = {
        name: found
        for name, found in description.signatures.items()
        if sequence.inputs.keys() <= found.inputs.keys()
    }
    problems = [
        f"{where}.{problem}"
        for problem in (
            *_unknown(sequence, description.signatures.values(), fitting.values()),
            *(said for found in fitting.values() for said in _misfits(sequence, found)),
        )
    ]
    if problems:
        return description, "; ".join(problems)
    told = {
        name: replace(found, sequence=_spec(sequence, found)) for name, found in fitting.items()
    }
    return replace(description, signatures={**description.signatures, **told}), ""


def _spec(sequence: SequenceConfig, signature: Signature) -> SequenceSpec:
    return SequenceSpec(
        inputs=tuple(RaggedInput(name, c.axis, c.pad) for name, c in sequence.inputs.items()),
        outputs=tuple(
            RaggedOutput(name, c.axis)
            for name, c in sequence.outputs.items()
            if name in signature.outputs
        ),
        buckets=sequence.buckets,
        min_length=sequence.min_length,
    )


def _unknown(
    sequence: SequenceConfig, signatures: Iterable[Signature], fitting: Collection[Signature]
) -> Iterator[str]:
    """What no signature has: all inputs together, or an output."""
    if not fitting:
        has = "; ".join(f"{s.name} has {', '.join(s.inputs)}" for s in signatures)
        got = ", ".join(sequence.inputs)
        yield f"inputs: got {got}, which no signature has together: {has or 'there is none'}"
        return
    known = {name: None for signature in fitting for name in signature.outputs}
    for name in sequence.outputs:
        if name not in known:
            yield f"outputs.{name}: no such output, the model has {', '.join(known)}"


def _misfits(sequence: SequenceConfig, signature: Signature) -> Iterator[str]:
    if not signature.is_batchable:
        name = signature.name
        yield f"inputs: requests of signature {name} never share a batch, so none is padded"
        return
    for name, ragged in sequence.inputs.items():
        spec = signature.inputs[name]
        yield from _axis_misfits(f"inputs.{name}.axis", ragged.axis, spec)
        if not _takes(spec.datatype, ragged.pad):
            yield f"inputs.{name}.pad: got {ragged.pad:g}, which {spec.datatype} cannot hold"
    for name, spec in signature.outputs.items():
        if name in sequence.outputs:
            yield from _axis_misfits(f"outputs.{name}.axis", sequence.outputs[name].axis, spec)
        elif spec.shape is not None and -1 in spec.shape[1:]:
            shape = spec.describe_shape()
            yield f"outputs: {name} is {shape}; declare its axis, or its padding would be answered"


def _axis_misfits(where: str, axis: int, spec: TensorSpec) -> Iterator[str]:
    shape = spec.shape or ()
    if axis >= len(shape) or shape[axis] != -1:
        yield f"{where}: got {axis}, wants a dynamic dimension of {spec.describe_shape()}"


def _takes(datatype: Datatype, pad: float) -> bool:
    """Whether an array of this datatype can hold that very kind of number."""
    if datatype == "BYTES":
        return False
    if datatype == "BOOL":
        return pad in (0, 1)
    if datatype in ("FP16", "BF16", "FP32", "FP64"):
        with np.errstate(over="ignore"):
            return bool(np.isfinite(np.float64(pad).astype(DTYPES[datatype])))
    limits = np.iinfo(DTYPES[datatype].str)
    return pad.is_integer() and limits.min <= pad <= limits.max
