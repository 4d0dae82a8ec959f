"""Which parameters of the Open Inference Protocol can Tandem not honour?

A parameter that changes the answer must not be dropped in silence; any other travels to the backend.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from gateway.errors import InvalidRequest, Unsupported

__all__ = ["refuse_reserved", "refuse_unsupported"]

_UNSUPPORTED = {
    "classification": "the classification extension is not spoken here",
    "shared_memory_region": "shared memory is not spoken here, send the tensor's data",
}


def refuse_unsupported(names: Collection[str], path: str) -> None:
    """Refuse the parameters of one input or output that would change where or what its data is.

    Raises:
        Unsupported: the parameter belongs to an extension that Tandem does not list.
    """
    if not _UNSUPPORTED.keys().isdisjoint(names):
        name = next(name for name in names if name in _UNSUPPORTED)
        raise Unsupported(_UNSUPPORTED[name], path=f"{path}.parameters.{name}")


def refuse_reserved(names: Iterable[str]) -> None:
    """Refuse request parameters that Triton keeps for itself.

    Raises:
        InvalidRequest: the name starts with `triton_`.
    """
    for name in names:
        if name.startswith("triton_"):
            raise InvalidRequest(
                "parameter names that start with 'triton_' are reserved", path=f"parameters.{name}"
            )
