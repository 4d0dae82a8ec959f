"""What does a request find when it comes in? The table, and for each arm what it has at run time.

A scene is replaced as a whole and never changed in place, but for what it remembers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from gateway.batching.key import BatchKey
from gateway.batching.queue import BatchQueue
from gateway.errors import InvalidRequest
from gateway.misfits import DoesNotFit, Misfit
from gateway.ports import Backend
from gateway.routing.table import Arm, Decision, RouteTable
from gateway.shadow.mirror import Mirror
from gateway.telemetry.instruments import Tally
from gateway.telemetry.metrics import ArmMetrics
from gateway.tensors import Signature, Tensor, check_inputs, rows_of
from gateway.values import value_class

__all__ = ["Lane", "Ranks", "Route", "Scene", "declared_ranks", "is_harmless", "ranks_of"]

Ranks: TypeAlias = tuple[str, tuple[tuple[str, int], ...]]
"""What tells one misfit from another: the signature, and each input's name and number of dimensions."""

_MAX_FITTING = 1024
_MATRIX = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """What an arm has at run time: its queue, its metrics with the labels bound, and its backend.

    A lane lives as long as the signatures of its arm stay the same, so that a key which was found to
    fit once need not be checked again: `_fitting` holds the latest of them.
    """

    model: str
    queue: BatchQueue
    metrics: ArmMetrics
    backend: Backend
    deadly: set[Ranks] = field(default_factory=set, compare=False, repr=False)
    """Misfits that were left to the backend and over which it was lost: for a while they are refused."""
    _fitting: set[BatchKey] = field(default_factory=set, compare=False, repr=False)

    def check(self, key: BatchKey, signature: Signature, inputs: tuple[Tensor, ...]) -> int:
        """Check a request against the signature and return its rows (1 if it has no batch dimension).

        Raises:
            InvalidRequest: the inputs or the outputs asked for do not fit the signature.
        """
        if key in self._fitting:
            return rows_of(signature, inputs)
        if key.parameters:  # of any size, and as many as a caller likes: not to be remembered
            key = key._replace(parameters=())
        rows = check_inputs(self.model, signature, inputs)
        _check_wanted(self.model, signature, key.outputs)
        if len(self._fitting) >= _MAX_FITTING:  # sequences come in many lengths
            self._fitting.clear()
        self._fitting.add(key)
        return rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Everything a request reads: the table, and for each (model, arm) its lane and each shadow its mirror."""

    table: RouteTable = field(default_factory=RouteTable)
    lanes: Mapping[tuple[str, str], Lane] = field(default_factory=dict)
    mirrors: Mapping[tuple[str, str], Mirror] = field(default_factory=dict)
    routes: dict[tuple[str, str, str, str], Route] = field(default_factory=dict, compare=False)
    """Those taken before, by model, arm, why and signature: as many as the configuration has."""

    def route(self, decision: Decision, signature: Signature) -> Route:
        """The decision, with what it needs of this scene."""
        arm = decision.arm
        lane = self.lanes[arm.model, arm.name]
        return Route(
            decision=decision,
            signature=signature,
            lane=lane,
            mirrors=tuple([self.mirrors[arm.model, s.arm.name] for s in decision.shadows]),
            assigned=lane.metrics.assigned(decision.why),
        )


@value_class(kw_only=True)
class Route:
    """A decision, with the lane and the mirrors that were current when it was made.

    `assigned` counts the requests that took it.
    """

    decision: Decision
    signature: Signature
    lane: Lane
    mirrors: tuple[Mirror, ...]
    assigned: Tally

    @property
    def arm(self) -> Arm:
        """The arm that will answer."""
        return self.decision.arm


def ranks_of(key: BatchKey) -> Ranks:
    """Those of a request that is sent as it is."""
    return key.signature, tuple([(name, len(shape)) for name, _, shape in key.inputs])


def declared_ranks(signature: Signature) -> Ranks | None:
    """Those that a signature wants; a misfit which has them has never been seen to end a process."""
    wanted: list[tuple[str, int]] = []
    for name, spec in signature.inputs.items():
        if spec.shape is None:
            return None
        wanted.append((name, len(spec.shape)))
    return signature.name, tuple(wanted)


def is_harmless(signature: Signature, inputs: tuple[Tensor, ...]) -> bool:
    """Whether a runtime that checks no shapes will at worst say no.

    TensorFlow's convolutions end the whole process at a rank that they do not expect (a failed CHECK in
    tensor_format.h), so what is declared as an image or a sequence of vectors must fit. A model that makes
    such a thing of what is declared as less is found out by `Lane.deadly`, at the cost of one process a minute.
    """
    for tensor in inputs:
        spec = signature.inputs.get(tensor.name)
        if spec is None or spec.shape is None or len(spec.shape) <= _MATRIX:
            continue
        if not spec.accepts_shape(tensor.shape):
            return False
    return True


def _check_wanted(model: str, signature: Signature, outputs: tuple[str, ...]) -> None:
    for index, name in enumerate(outputs):
        if name not in signature.outputs:
            wanted = tuple(sorted(signature.outputs))
            raise DoesNotFit(
                f"got output {name!r}, model {model} has {list(wanted)}",
                Misfit(aspect="output", model=model, name=name, wanted=wanted),
                path=f"outputs[{index}]",
            )
        if name in outputs[:index]:
            raise InvalidRequest(f"duplicate output tensor alias: {name}", path=f"outputs[{index}]")
