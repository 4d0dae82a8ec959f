"""The story of one request: which arm, with whom, what it said, and who else is asked.

`route` decides without waiting; between it and `infer` the server decodes the body by the arm's signature
(TF Serving's JSON cannot be read without one), also without waiting, so both see the same table.

Invariant: `scene` is replaced as a whole and never changed in place, but for what it remembers; a request
reads it once, in `route`, and keeps the lane it got there, so a reload never moves a request that was
already accepted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gateway.batching.key import BatchKey
from gateway.batching.queue import BatchQueue
from gateway.errors import InvalidRequest, QueueFull
from gateway.lifecycle import Lifecycle
from gateway.messages import Deadline, InferRequest, InferResponse, Served, Target
from gateway.routing.table import Arm, Decision, RouteTable
from gateway.shadow.mirror import Mirror, Mirrored
from gateway.telemetry.instruments import Tally
from gateway.telemetry.metrics import ArmMetrics, Metrics
from gateway.tensors import Signature, Tensor, check_inputs, rows_of
from gateway.values import value_class

__all__ = ["Answer", "Lane", "Pipeline", "Route", "Scene"]

_MAX_FITTING = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """What an arm has at run time: its queue, and its metrics with the labels bound.

    A lane lives as long as the signatures of its arm stay the same, so that a key which was found to
    fit once need not be checked again: `_fitting` holds the latest of them.
    """

    model: str
    queue: BatchQueue
    metrics: ArmMetrics
    _fitting: set[BatchKey] = field(default_factory=set, compare=False, repr=False)

    def check(self, key: BatchKey, signature: Signature, inputs: tuple[Tensor, ...]) -> int:
        """Check a request against the signature and return its rows (1 if it has no batch dimension).

        Raises:
            InvalidRequest: the inputs or the outputs asked for do not fit the signature.
        """
        if key in self._fitting:
            return rows_of(signature, inputs)
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


@value_class(kw_only=True)
class Answer:
    """The response, and how it came about."""

    response: InferResponse
    served: Served


class Pipeline:
    """Takes a request from its decoded form to its answer."""

    def __init__(
        self,
        lifecycle: Lifecycle,
        metrics: Metrics,
        *,
        max_requests_in_flight: int,
        clock: Callable[[], float],
    ) -> None:
        self._lifecycle = lifecycle
        self._metrics = metrics
        self._max_in_flight = max_requests_in_flight
        self._clock = clock
        self._in_flight = 0
        self.scene = Scene()
        metrics.in_flight_requests.set_function(lambda: self._in_flight)

    def __repr__(self) -> str:
        models = ", ".join(self.scene.table.models) or "no models"
        return f"<Pipeline {self._in_flight} in flight, {models}>"

    @property
    def table(self) -> RouteTable:
        """The route table in force."""
        return self.scene.table

    @property
    def is_ready(self) -> bool:
        """Whether load balancers should send requests."""
        return self._lifecycle.is_ready

    @property
    def in_flight(self) -> int:
        """Requests accepted and not yet answered."""
        return self._in_flight

    def install(self, scene: Scene) -> None:
        """Make `scene` the one that later requests read."""
        self.scene = scene

    def route(self, target: Target) -> Route:
        """Decide which arm answers; never waits.

        Raises:
            NotReady: the gateway or the model is not ready.
            UnknownModel, UnknownLabel, UnknownSignature, InvalidRequest: the caller's fault.
        """
        if not self._lifecycle.is_serving:
            self._lifecycle.check()
        scene = self.scene
        models = scene.table.models.get(target.model)
        decision = (models or scene.table.model(target.model)).decide(target)
        arm = decision.arm
        known = (arm.model, arm.name, decision.why, target.signature)
        route = scene.routes.get(known)
        if route is None:
            route = scene.routes[known] = scene.route(decision, arm.signature(target.signature))
        route.assigned.inc()
        return route

    async def infer(
        self, route: Route, request: InferRequest, *, deadline: Deadline, request_id: str
    ) -> Answer:
        """Ask the arm, and offer the answer to its shadows.

        `request_id` draws the shadows' sample; `request.id` is only echoed.

        A cancelled caller leaves nothing in the queue, and does not disturb its batch-mates.

        Raises:
            InvalidRequest: the inputs or outputs do not fit the signature.
            QueueFull: a bound is reached; rejected at once.
            DeadlineExceeded: the deadline passed in the queue or in flight.
            BackendError: the batch failed.
        """
        arm, signature, lane = route.decision.arm, route.signature, route.lane
        inputs = _in_order(signature, request.inputs)
        key = BatchKey.of(
            version=arm.version,
            signature=signature.name,
            inputs=inputs,
            batchable=signature.is_batchable,
            outputs=request.outputs,
        )
        rows = lane.check(key, signature, request.inputs)
        if self._in_flight >= self._max_in_flight:
            raise self._too_many()
        self._in_flight += 1
        try:
            served = await lane.queue.submit(key, inputs, rows, deadline)
        finally:
            self._in_flight -= 1
        lane.metrics.queue_seconds.observe(served.queue_s)
        lane.metrics.rows.inc(rows)
        if route.mirrors:
            mirrored = Mirrored(
                request_id=request_id,
                answered_by=arm.name,
                signature=signature.name,
                inputs=inputs,
                wanted=request.outputs,
                rows=rows,
                control=served.outputs,
            )
            for mirror in route.mirrors:
                mirror.offer(mirrored)
        response = InferResponse(
            model=arm.model,
            version=arm.version,
            signature=signature.name,
            outputs=served.outputs,
            id=request.id,
        )
        return Answer(response=response, served=served)

    def _too_many(self) -> QueueFull:
        return QueueFull(
            f"got one request more than the {self._max_in_flight} that may be in flight"
            " (limits.max_requests_in_flight)"
        )


def _in_order(signature: Signature, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The inputs in the signature's order, so that callers' orders do not split batches."""
    if len(inputs) == 1:
        return inputs
    by_name = {tensor.name: tensor for tensor in inputs}
    if len(by_name) != len(inputs) or by_name.keys() != signature.inputs.keys():
        return inputs  # which are going to be refused, as they came
    return tuple([by_name[name] for name in signature.inputs])


def _check_wanted(model: str, signature: Signature, outputs: tuple[str, ...]) -> None:
    for index, name in enumerate(outputs):
        if name not in signature.outputs:
            raise InvalidRequest(
                f"output tensor alias not found in signature: {name}"
                f" Outputs expected to be in the set {{{','.join(sorted(signature.outputs))}}}."
                f" (model {model})",
                path=f"outputs[{index}]",
            )
        if name in outputs[:index]:
            raise InvalidRequest(f"duplicate output tensor alias: {name}", path=f"outputs[{index}]")
