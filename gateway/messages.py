"""What travels between the edges and the core: requests, responses, deadlines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, NewType, TypeAlias

from gateway.tensors import Signature, Tensor
from gateway.values import value_class

__all__ = [
    "ArmName",
    "Deadline",
    "Dialect",
    "ExampleMethod",
    "InferRequest",
    "InferResponse",
    "ModelDescription",
    "ModelName",
    "Parameter",
    "Served",
    "Target",
    "VersionStatus",
    "is_step",
]

ModelName = NewType("ModelName", str)
ArmName = NewType("ArmName", str)

Parameter: TypeAlias = bool | int | float | str

OWN_PARAMETERS = frozenset({"priority", "timeout"})
"""Request parameters that are for the gateway, and not for a backend; so is what begins with `tandem_`."""

STATE_PARAMETERS = frozenset({"sequence_id", "sequence_start", "sequence_end"})
"""Request parameters of a step of a sequence: the backend keeps a state from one step to the next."""

ExampleMethod: TypeAlias = Literal["Classify", "Regress", "MultiInference"]
"""What TF Serving answers about `tf.Example`s."""

Dialect: TypeAlias = Literal[
    "tfs_rest", "tfs_grpc", "oip_rest", "oip_grpc", "torchserve_rest", "torchserve_grpc"
]

VersionState: TypeAlias = Literal["START", "LOADING", "AVAILABLE", "UNLOADING", "END"]

DEFAULT_SIGNATURE = "serving_default"


@value_class()
class Deadline:
    """The moment after which nobody wants the answer: `at`, in seconds of the event loop's clock."""

    at: float

    @classmethod
    def after(cls, now: float, timeout_s: float) -> Deadline:
        """The deadline `timeout_s` seconds from `now`."""
        return cls(now + timeout_s)

    def remaining_s(self, now: float) -> float:
        """Seconds left, negative when it has passed."""
        return self.at - now


@value_class(kw_only=True)
class Target:
    """Which model the caller asked for, and what decides its arm.

    Attributes:
        model: As the caller wrote it; may be unknown.
        version: A version as text, or None; excludes `label`.
        label: A version label, or None.
        signature: The signature's name, "" for the default one.
        unit: What is hashed for stickiness, "" when the caller gave none.
        arm: An arm the caller insists on, "" for none.
    """

    model: str
    version: str | None = None
    label: str | None = None
    signature: str = ""
    unit: str = ""
    arm: str = ""


@value_class(kw_only=True)
class Trace:
    """What finds a request again in other systems; only requests that brought something have one.

    Attributes:
        request_id: The request's id, "" for a batch of several.
        traceparent, tracestate: W3C Trace Context, "" where the caller sent none that is sound.
    """

    request_id: str = ""
    traceparent: str = ""
    tracestate: str = ""


@value_class(kw_only=True)
class InferRequest:
    """One predict call, without the dialect it came in.

    Attributes:
        model, version, label, signature: As in `Target`; `version` is text, None for the default.
        inputs: In the order they arrived.
        outputs: Names of the outputs wanted; empty for all, in the model's order.
        id: The caller's id, "" when it gave none; returned in OIP answers.
        parameters: OIP request parameters, as they came.
        trace: What a batch carries to its backend to be found again, None for nothing.
        as_is: Whether it does not fit its signature and is left to one server to judge: it may be that
            server's end, so nobody else is asked.
    """

    model: str
    inputs: tuple[Tensor, ...]
    version: str | None = None
    label: str | None = None
    signature: str = ""
    outputs: tuple[str, ...] = ()
    id: str = ""
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    trace: Trace | None = None
    as_is: bool = False

    @property
    def is_repeatable(self) -> bool:
        """Whether it may be sent twice, where its answer is lost or late."""
        return not self.as_is and not is_step(self.parameters)


def is_step(parameters: Mapping[str, Parameter]) -> bool:
    """Whether a request with these parameters is a step of a sequence; Triton's id of none is 0 or ""."""
    if STATE_PARAMETERS.isdisjoint(parameters):
        return False
    return any(parameters.get(name) for name in STATE_PARAMETERS)


@value_class(kw_only=True)
class InferResponse:
    """One answer, without the dialect it goes out in. `version` is the one that really answered."""

    model: str
    version: str
    outputs: tuple[Tensor, ...]
    signature: str = ""
    id: str = ""
    parameters: Mapping[str, Parameter] = field(default_factory=dict)


@value_class(kw_only=True)
class Served:
    """What a batch gave one of its requests, and how long each stage took.

    Attributes:
        outputs: This request's rows only, `[rows, …]` each.
        batch_rows: Rows in the batch that carried it (the largest, if it was split).
        batch_requests: Requests that shared that batch.
        queue_s: Seconds from submission until its batch left (that of the piece answered last, if it was
            split).
        backend_s: Seconds that its backend call took (that of the same piece).
    """

    outputs: tuple[Tensor, ...]
    batch_rows: int
    batch_requests: int
    queue_s: float
    backend_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDescription:
    """What a backend says of one version of a model.

    Attributes:
        checks_itself: Whether the backend itself says, in its dialect's words, what is wrong with inputs
            that do not fit the signature, and takes some that seem not to. TF Serving does.
        max_rows: Rows that it takes in one batch, None where it tells no limit.
        told: Its signatures as it told them (TF Serving: a SignatureDefMap), with what Tandem has no use
            for; empty where the dialect has no such form.
    """

    model: str
    version: str
    platform: str
    signatures: Mapping[str, Signature]
    checks_itself: bool = False
    max_rows: int | None = None
    told: bytes = b""

    def without_rows(self) -> ModelDescription:
        """That of a model whose dynamic dim 0 is not known to be rows: each request reaches it as it is."""
        signatures = {
            name: replace(found, is_whole=True) for name, found in self.signatures.items()
        }
        return replace(self, signatures=signatures)


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionStatus:
    """The state of one version at a backend, in TF Serving's words."""

    version: str
    state: VersionState
    error_code: str = "OK"
    error_message: str = ""
