"""Is a backend's answer what its own description promised?

Checked once per batch, before it is cut up: a wrong answer must become an error for its callers, never a
wrong number for them.
"""

from __future__ import annotations

from gateway.errors import BackendInvalid
from gateway.routing.table import Arm
from gateway.tensors import Signature, Tensor, TensorSpec

__all__ = ["checked_outputs"]


def checked_outputs(
    arm: Arm,
    signature: Signature,
    wanted: tuple[str, ...],
    outputs: tuple[Tensor, ...],
    *,
    rows: int,
) -> tuple[Tensor, ...]:
    """The wanted outputs (all when `wanted` is empty) in their order, `[rows, …]` each.

    Raises:
        BackendInvalid: an output is missing, or has another datatype, shape or number of rows.
    """
    by_name = {tensor.name: tensor for tensor in outputs}
    names = wanted or tuple(signature.outputs)
    missing = [name for name in names if name not in by_name]
    if missing:
        raise BackendInvalid(
            f"{_who(arm)} answered with outputs {sorted(by_name)}, wanted {list(names)}"
        )
    for name in names:
        _check(arm, signature.outputs[name], by_name[name])
        if signature.is_batchable and by_name[name].shape[0] != rows:
            raise BackendInvalid(
                f"{_who(arm)} answered with {by_name[name].shape[0]} rows in output {name!r},"
                f" wanted {rows}; if that is not one for each row of the inputs, see batching.joins"
            )
    return tuple(by_name[name] for name in names)


def _check(arm: Arm, spec: TensorSpec, tensor: Tensor) -> None:
    if tensor.datatype != spec.datatype or not spec.accepts_shape(tensor.shape):
        raise BackendInvalid(
            f"{_who(arm)} answered with {tensor.datatype} {list(tensor.shape)} in output"
            f" {spec.name!r}, wanted {spec.datatype} {spec.describe_shape()}"
        )


def _who(arm: Arm) -> str:
    return f"{arm.model}: backend {arm.backend}"
