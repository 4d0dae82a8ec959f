"""What do the gRPC and the REST form of the protocol's metadata have in common?

The protocol has one signature per model; ours is named `serving_default`. Its shapes cannot say "any
rank": such an input or output is told as `[-1]`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast

from gateway.errors import InvalidRequest
from gateway.messages import DEFAULT_SIGNATURE, ModelDescription
from gateway.tensors import DTYPES, Datatype, Signature, TensorSpec

__all__ = [
    "IndexedModel",
    "ServerMetadata",
    "check_count",
    "datatype_named",
    "describe",
    "newest_first",
    "told_shape",
    "told_signature",
]

MAX_MEMBERS = 1024  # inputs, outputs, or parameters of one message; models have tens


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerMetadata:
    """A server's name, its version, and the names of the protocol extensions that it speaks."""

    name: str
    version: str
    extensions: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexedModel:
    """One version in a repository index; `state` is READY, UNAVAILABLE, LOADING or UNLOADING."""

    name: str
    version: str
    state: str
    reason: str = ""


def check_count(count: int, path: str) -> None:
    """Refuse more inputs, outputs or parameters than any model has.

    On the wire an empty one costs two bytes, as a Python object hundreds: this is checked before any
    is made.

    Raises:
        InvalidRequest: there are more than `MAX_MEMBERS`.
    """
    if count > MAX_MEMBERS:
        raise InvalidRequest(f"got {count}, at most {MAX_MEMBERS} are taken", path=path)


def datatype_named(text: object, path: str) -> Datatype:
    """`text` as one of the protocol's datatypes; `path` is the tensor's place, for errors.

    Raises:
        InvalidRequest: it is none.
    """
    if not isinstance(text, str) or text not in DTYPES:
        raise InvalidRequest(
            f"got {text!r}, datatypes are {', '.join(DTYPES)}", path=f"{path}.datatype"
        )
    return cast("Datatype", text)


def told_signature(description: ModelDescription) -> Signature:
    """The one signature that there is room for: the default one, else the first, else an empty one."""
    signatures = description.signatures
    if DEFAULT_SIGNATURE in signatures:
        return signatures[DEFAULT_SIGNATURE]
    return next(iter(signatures.values()), Signature(DEFAULT_SIGNATURE, {}, {}))


def told_shape(spec: TensorSpec) -> tuple[int, ...]:
    """The shape of a spec as the wire has it."""
    return (-1,) if spec.shape is None else spec.shape


def describe(
    model: str, versions: Iterable[str], platform: str, *, specs: Mapping[str, Iterable[TensorSpec]]
) -> ModelDescription:
    """The description that metadata gives: of the newest of `versions`, "" if it lists none.

    Args:
        model: The model's name.
        versions: As listed, in any order.
        platform: As told, may be "".
        specs: The `inputs` and the `outputs`, in the model's order.
    """
    signature = Signature(
        name=DEFAULT_SIGNATURE,
        inputs={spec.name: spec for spec in specs["inputs"]},
        outputs={spec.name: spec for spec in specs["outputs"]},
    )
    return ModelDescription(
        model=model,
        version=next(iter(newest_first(versions)), ""),
        platform=platform,
        signatures={signature.name: signature},
    )


def newest_first(versions: Iterable[str]) -> tuple[str, ...]:
    """Versions by number, the highest first; then those that are no numbers, by name."""
    return tuple(sorted(versions, key=_age, reverse=True))


def _age(version: str) -> tuple[bool, int, str]:
    # Compared as text of equal length: int() would refuse, or take long over, a very long number.
    if version.isascii() and version.isdigit():
        digits = version.lstrip("0")
        return True, len(digits), digits
    return False, 0, version
