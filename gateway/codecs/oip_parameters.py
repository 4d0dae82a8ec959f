"""Which parameters of the Open Inference Protocol can Tandem not honour?

A parameter that changes the answer must not be dropped in silence; any other travels to the backend.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, MutableMapping

from gateway.errors import InvalidRequest, Unsupported
from gateway.messages import Parameter

__all__ = ["drop_final", "narrowed", "refuse_reserved", "refuse_unsupported"]

_INT64 = range(-(2**63), 2**63)
_FINAL = "triton_enable_empty_final_response"

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


def drop_final(parameters: MutableMapping[str, Parameter]) -> None:
    """Take out the one parameter of Triton's own that a client may send, over gRPC.

    It asks for an empty answer after a stream's last one where that does not say of itself that it is the
    last. Ours do, so there is nothing to add.

    Raises:
        InvalidRequest: it is neither true nor false.
    """
    asked = parameters.pop(_FINAL, False)
    if not isinstance(asked, bool):
        raise InvalidRequest(f"got {asked!r}, wanted true or false", path=f"parameters.{_FINAL}")


def refuse_reserved(names: Iterable[str]) -> None:
    """Refuse request parameters that Triton keeps for itself.

    Raises:
        InvalidRequest: the name starts with `triton_`.
    """
    for name in names:
        if name.startswith("triton_"):
            raise InvalidRequest(
                "parameter keys starting with 'triton_' are reserved for Triton usage",
                path=f"parameters.{name}",
            )


def narrowed(parameters: Mapping[str, Parameter]) -> Mapping[str, Parameter]:
    """The same in the protocol's first three kinds, bool, int64 and string.

    MLServer's and TorchServe's gRPC messages know no other: a double or an uint64 would arrive there
    without a value. Written as text it arrives.
    """
    if all(_is_narrow(value) for value in parameters.values()):
        return parameters
    return {name: value if _is_narrow(value) else repr(value) for name, value in parameters.items()}


def _is_narrow(value: Parameter) -> bool:
    return isinstance(value, str) or (isinstance(value, int) and value in _INT64)
