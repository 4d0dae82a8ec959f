"""What can be configured: frozen values with units in their names, their bounds and their defaults.

No I/O here: `control.source` reads a TOML file into a `Config` and reports what is wrong with it.
Every setting is explained in gateway/README.md, and a test fails where one is missing there.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal, NamedTuple

from annotated_types import Ge, Gt, Le

from gateway.backend_config import BackendConfig, backend_problems
from gateway.sequence_config import SequenceConfig, sequence_problems

__all__ = [
    "ArmConfig",
    "BackendConfig",
    "BatchingConfig",
    "Config",
    "Contradiction",
    "LimitsConfig",
    "ListenConfig",
    "LogConfig",
    "ModelConfig",
    "RestConfig",
    "SequenceConfig",
    "ShadowConfig",
    "SplitConfig",
    "cross_references",
]

UNIT = re.compile(r"header:[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
# TF Serving takes any. Spaces travel in every address, percent-encoded; a slash would not, because the
# questions about models are routed after decoding.
MODEL_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_. -]{0,126}[A-Za-z0-9_.-])?")

Ratio = Annotated[float, Ge(0), Le(1)]
PositiveInt = Annotated[int, Ge(1)]
Seconds = Annotated[float, Gt(0)]

_STRICT: Mapping[str, object] = {"extra": "forbid", "strict": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenConfig:
    """Where Tandem listens, each `host:port`; port 0 takes a free one.

    `grpc_reflection`: clients without stubs may ask the gRPC port what it offers.
    """

    __pydantic_config__: ClassVar = _STRICT
    rest: str = "127.0.0.1:8080"
    grpc: str = "127.0.0.1:8081"
    admin: str = "127.0.0.1:8082"
    grpc_reflection: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RestConfig:
    """What is said over REST. `cors`: pages from other origins may read the answers under /v1/."""

    __pydantic_config__: ClassVar = _STRICT
    cors: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsConfig:
    """Bounds on what callers may cost."""

    __pydantic_config__: ClassVar = _STRICT
    max_body_bytes: PositiveInt = 64 * 1024 * 1024
    max_requests_in_flight: PositiveInt = 4096
    max_bytes_in_flight: PositiveInt = 1024 * 1024 * 1024
    max_heavy_queued: PositiveInt = 1024
    default_timeout_s: Seconds = 30.0
    max_timeout_s: Seconds = 300.0
    drain_timeout_s: Seconds = 25.0
    drain_notice_s: Annotated[float, Ge(0)] = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LogConfig:
    """What is written to standard error, one JSON object a line."""

    __pydantic_config__: ClassVar = _STRICT
    level: Literal["debug", "info", "warning", "error"] = "info"
    success_sample_ratio: Ratio = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchingConfig:
    """How an arm's requests share a backend call. Rows are counted, not requests.

    `joins`: whether they do; if not, each is sent as it came, neither joined nor cut.
    """

    __pydantic_config__: ClassVar = _STRICT
    joins: bool = True
    max_batch_rows: PositiveInt = 64
    max_delay_ms: Annotated[float, Ge(0), Le(60_000)] = 0.0
    max_queued_rows: PositiveInt = 4096
    max_in_flight: PositiveInt = 4
    min_in_flight: PositiveInt = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmConfig:
    """One weighted choice in a split: a backend and a version of the model (the newest if unset)."""

    __pydantic_config__: ClassVar = _STRICT
    backend: str
    weight: Annotated[float, Ge(0)] = 1.0
    version: Annotated[int, Ge(0)] | None = None
    model: str | None = None  # the name at the backend, when it differs
    batching: BatchingConfig | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitConfig:
    """What is hashed for stickiness: the first of `unit` that a request carries, else its request id."""

    __pydantic_config__: ClassVar = _STRICT
    unit: tuple[str, ...] = ("header:x-tandem-unit",)
    salt: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowConfig:
    """An arm that is asked too, on a sample of the requests, and never answered from."""

    __pydantic_config__: ClassVar = _STRICT
    arm: str
    sample_ratio: Ratio = 0.1
    max_queued: PositiveInt = 64
    max_queued_bytes: PositiveInt = 64 * 1024 * 1024
    max_in_flight: PositiveInt = 2
    timeout_s: Seconds = 10.0
    atol: Annotated[float, Ge(0)] = 1e-4
    rtol: Annotated[float, Ge(0)] = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """One model: its arms, how traffic is split over them, who shadows, how requests are batched."""

    __pydantic_config__: ClassVar = _STRICT
    arms: Mapping[str, ArmConfig]
    labels: Mapping[str, int] = field(default_factory=dict)
    split: SplitConfig = field(default_factory=SplitConfig)
    shadow: tuple[ShadowConfig, ...] = ()
    batching: BatchingConfig = field(default_factory=BatchingConfig)
    sequence: SequenceConfig = field(default_factory=SequenceConfig)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The whole file."""

    __pydantic_config__: ClassVar = _STRICT
    backends: Mapping[str, BackendConfig]
    models: Mapping[str, ModelConfig]
    listen: ListenConfig = field(default_factory=ListenConfig)
    rest: RestConfig = field(default_factory=RestConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    log: LogConfig = field(default_factory=LogConfig)


class Contradiction(NamedTuple):
    """Something wrong that no single value shows.

    Attributes:
        place: The setting to blame, dotted.
        against: The setting that it contradicts, dotted; "" where it only leads nowhere.
    """

    place: str
    message: str
    against: str = ""


def cross_references(config: Config) -> list[Contradiction]:
    """Everything wrong that no single value shows, empty when sound."""
    problems: list[Contradiction] = []
    limits = config.limits
    if limits.max_timeout_s < limits.default_timeout_s:
        wanted = f"wants default_timeout_s = {limits.default_timeout_s:g} or more"
        message = f"got {limits.max_timeout_s:g}, {wanted}"
        problems.append(Contradiction("limits.max_timeout_s", message, "limits.default_timeout_s"))
    for name, backend in config.backends.items():
        where = f"backends.{name}"
        found = backend_problems(where, backend)
        problems += [Contradiction(place, message, f"{where}.kind") for place, message in found]
    problems += _reload_problems(config.backends)
    for name, model in config.models.items():
        problems += _model_problems(f"models.{name}", name, model, set(config.backends))
    return problems


def _reload_problems(backends: Mapping[str, BackendConfig]) -> list[Contradiction]:
    # A reload names models and no backend, so only one can be meant.
    first, *others = [name for name, found in backends.items() if found.forwards_reload] or [""]
    message = f"one backend at most, and {first} has it"
    against = f"backends.{first}.forwards_reload"
    return [Contradiction(f"backends.{name}.forwards_reload", message, against) for name in others]


def _model_problems(
    where: str, name: str, model: ModelConfig, backends: set[str]
) -> list[Contradiction]:
    problems: list[Contradiction] = []
    if not MODEL_NAME.fullmatch(name):
        problems.append(
            Contradiction(where, f"got name {name!r}, names match {MODEL_NAME.pattern}")
        )
    if not model.arms:
        problems.append(Contradiction(f"{where}.arms", "a model needs at least one arm"))
    elif not any(arm.weight > 0 for arm in model.arms.values()):
        problems.append(Contradiction(f"{where}.arms", "at least one arm needs a weight above 0"))
    return [
        *problems,
        *_batching_problems(f"{where}.batching", model.batching),
        *itertools.starmap(Contradiction, sequence_problems(f"{where}.sequence", model.sequence)),
        *_arm_problems(where, model, backends),
        *_unit_problems(where, model),
        *_shadow_problems(where, name, model),
    ]


def _arm_problems(where: str, model: ModelConfig, backends: set[str]) -> list[Contradiction]:
    problems: list[Contradiction] = []
    known = ", ".join(sorted(backends)) or "none"
    for name, arm in model.arms.items():
        place = f"{where}.arms.{name}"
        if not NAME.fullmatch(name):
            problems.append(Contradiction(place, f"names match {NAME.pattern}"))
        if arm.backend not in backends:
            message = f"got {arm.backend!r}, known backends: {known}"
            problems.append(Contradiction(f"{place}.backend", message))
        if arm.batching is not None:
            problems += _batching_problems(f"{place}.batching", arm.batching)
    return problems


def _batching_problems(where: str, batching: BatchingConfig) -> list[Contradiction]:
    problems: list[Contradiction] = []
    # A full batch could never be collected, and a request that makes one would always be refused.
    if batching.max_queued_rows < batching.max_batch_rows:
        wanted = f"wants max_batch_rows = {batching.max_batch_rows} or more (rows)"
        message = f"got {batching.max_queued_rows}, {wanted}"
        at, against = f"{where}.max_queued_rows", f"{where}.max_batch_rows"
        problems.append(Contradiction(at, message, against))
    if batching.max_in_flight < batching.min_in_flight:
        wanted = f"wants min_in_flight = {batching.min_in_flight} or more (batches)"
        message = f"got {batching.max_in_flight}, {wanted}"
        at, against = f"{where}.max_in_flight", f"{where}.min_in_flight"
        problems.append(Contradiction(at, message, against))
    return problems


def _unit_problems(where: str, model: ModelConfig) -> list[Contradiction]:
    wanted = 'wants "header:NAME" with the name of an HTTP header'
    return [
        Contradiction(f"{where}.split.unit[{index}]", f"got {source!r}, {wanted}")
        for index, source in enumerate(model.split.unit)
        if not UNIT.fullmatch(source)
    ]


def _shadow_problems(where: str, name: str, model: ModelConfig) -> list[Contradiction]:
    known = ", ".join(sorted(model.arms)) or "none"
    return [
        Contradiction(
            f"{where}.shadow[{index}].arm", f"got {shadow.arm!r}, arms of {name}: {known}"
        )
        for index, shadow in enumerate(model.shadow)
        if shadow.arm not in model.arms
    ]
