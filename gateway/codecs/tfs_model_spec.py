"""Which model, version or label, and signature does a TF Serving message speak of?"""

from __future__ import annotations

from typing import Protocol

from gateway._stubs import tfs_wire_pb2 as wire
from gateway.errors import InvalidRequest
from gateway.messages import Target

__all__ = ["HasSpec", "choice_of", "is_int64", "read_target", "required_spec", "write_spec"]

_INT64_MAX = 2**63 - 1


class HasSpec(Protocol):
    """A message with a `model_spec`."""

    @property
    def model_spec(self) -> wire.ModelSpec:
        """The model it is for."""
        ...

    def HasField(self, name: str, /) -> bool:  # noqa: N802 - protobuf's own name
        """Whether a field was sent."""
        ...


def required_spec(message: HasSpec) -> wire.ModelSpec:
    """The message's ModelSpec.

    Raises:
        InvalidRequest: there is none, or it names no model.
    """
    spec = message.model_spec
    if not spec.name:
        if not message.HasField("model_spec"):
            raise InvalidRequest("Missing ModelSpec")
        raise InvalidRequest("ModelSpec has no name specified.")
    return spec


def read_target(message: HasSpec) -> Target:
    """The model, version or label, and signature that a message is for.

    Raises:
        InvalidRequest: it names no model.
    """
    spec = required_spec(message)
    version, label = choice_of(spec)
    return Target(model=spec.name, version=version, label=label, signature=spec.signature_name)


def choice_of(spec: wire.ModelSpec) -> tuple[str | None, str | None]:
    """The version and the label asked for, of which at most one is there."""
    choice = spec.WhichOneof("version_choice")
    if choice is None:
        return None, None
    if choice == "version":
        return str(spec.version.value), None
    return None, spec.version_label


def write_spec(spec: wire.ModelSpec, model: str, version: str | None, label: str | None) -> None:
    """Name the model and, where there is one, its version or label.

    Raises:
        InvalidRequest: the version is not an integer, the only kind TF Serving knows.
    """
    spec.name = model
    if version is not None:
        if not is_int64(version):
            raise InvalidRequest(f"got version {version!r}, TF Serving's versions are integers")
        spec.version.value = int(version)
    elif label is not None:
        spec.version_label = label


def is_int64(version: str) -> bool:
    """Whether a version can be told to TF Serving's clients."""
    return version.isascii() and version.isdigit() and int(version) <= _INT64_MAX
