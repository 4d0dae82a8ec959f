"""The story of one request: which arm, with whom, what it said, and who else is asked.

`route` decides without waiting; between it and `infer` the server decodes the body by the arm's signature
(TF Serving's JSON cannot be read without one), also without waiting, so both see the same table.

Invariant: `scene` is replaced as a whole and never changed in place, but for what it remembers; a request
reads it once, in `route`, and keeps the lane it got there, so a reload never moves a request that was
already accepted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TypeAlias

from gateway.batching.key import BatchKey
from gateway.errors import InvalidRequest, QueueFull, Unsupported
from gateway.lifecycle import Lifecycle
from gateway.messages import (
    OWN_PARAMETERS,
    Deadline,
    ExampleMethod,
    InferRequest,
    InferResponse,
    Parameter,
    Served,
    Target,
    Trace,
)
from gateway.ports import ExampleBackend
from gateway.routing.table import RouteTable
from gateway.scene import Lane, Route, Scene, is_harmless
from gateway.shadow.mirror import Mirrored
from gateway.telemetry.metrics import Metrics
from gateway.tensors import Signature, Tensor
from gateway.values import value_class

__all__ = ["Answer", "Lane", "Pipeline", "Route", "Scene"]

EncodeFor: TypeAlias = Callable[[str, str], bytes]
"""Writes a message for a backend, given the name and version under which it knows the model."""


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

    def watched(self) -> AbstractContextManager[asyncio.Event]:
        """An event that is set when `is_ready` may have changed; see `Lifecycle.watched`."""
        return self._lifecycle.watched()

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
        decision = models.decide(target) if models else scene.table.resolve(target)
        arm = decision.arm
        known = (arm.model, arm.name, decision.why, target.signature)
        route = scene.routes.get(known)
        if route is None:
            route = scene.routes[known] = scene.route(decision, arm.signature(target.signature))
        route.assigned.inc()
        return route

    def route_examples(self, target: Target) -> Route:
        """As `route`, for a question about examples: its signature is looked up by the backend alone.

        Raises:
            NotReady: the gateway or the model is not ready.
            UnknownModel, UnknownLabel, InvalidRequest: the caller's fault.
        """
        self._lifecycle.check()
        scene = self.scene
        route = scene.route(scene.table.resolve(target), Signature(target.signature, {}, {}))
        route.assigned.inc()
        return route

    async def infer(
        self,
        route: Route,
        request: InferRequest,
        *,
        deadline: Deadline,
        request_id: str,
        as_is: bool = False,
        trace: Trace | None = None,
    ) -> Answer:
        """Ask the arm, and offer the answer to its shadows.

        `request_id` draws the shadows' sample; `request.id` is only echoed. With `as_is`, a request that
        does not fit the signature is left to a backend that checks it itself: it is sent alone, and what
        comes back is neither checked nor mirrored. `trace` goes to the backend with a batch that carries
        this request alone.
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
        mirrors = route.mirrors
        if request.parameters:
            key = key.with_parameters(_for_backend(request.parameters))
        try:
            rows = lane.check(key, signature, request.inputs)
        except InvalidRequest:
            if not (as_is and arm.checks_itself and is_harmless(signature, request.inputs)):
                raise
            key, inputs, rows, mirrors = _alone(key, request), request.inputs, 1, ()
        if self._in_flight >= self._max_in_flight:
            raise self._too_many()
        self._in_flight += 1
        try:
            served = await lane.queue.submit(key, inputs, rows, deadline, trace=trace)
        finally:
            self._in_flight -= 1
        lane.metrics.queue_seconds.observe(served.queue_s)
        lane.metrics.rows.inc(rows)
        if mirrors:
            mirrored = _mirrored(arm.name, request_id, key, served, inputs=inputs, rows=rows)
            for mirror in mirrors:
                mirror.offer(mirrored)
        return _answer(route, request, served)

    async def ask(
        self,
        route: Route,
        method: ExampleMethod,
        data: EncodeFor,
        *,
        deadline: Deadline,
        trace: Trace | None = None,
    ) -> bytes:
        """Put a question about examples to the arm's backend: as it is, at once and alone.

        It is neither batched nor mirrored: what the examples mean only the backend's graph can tell.

        Raises:
            Unsupported: the arm's backend answers no such questions.
            QueueFull: a bound is reached; rejected at once.
            BackendError: there is no answer, or it is an error.
        """
        arm, backend = route.arm, route.lane.backend
        if not isinstance(backend, ExampleBackend):
            raise Unsupported(
                f"got {method}, arm {arm.name} of model {arm.model} is served by {arm.backend},"
                " which takes tensors (Predict), not examples; a TensorFlow Serving takes both"
            )
        if self._in_flight >= self._max_in_flight:
            raise self._too_many()
        self._in_flight += 1
        try:
            message = data(arm.backend_model, arm.version)
            return await backend.ask(method, message, deadline, trace=trace)
        finally:
            self._in_flight -= 1

    def _too_many(self) -> QueueFull:
        return QueueFull(
            f"got one request more than the {self._max_in_flight} that may be in flight"
            " (limits.max_requests_in_flight)"
        )


def _answer(route: Route, request: InferRequest, served: Served) -> Answer:
    arm = route.decision.arm
    response = InferResponse(
        model=arm.model,
        version=arm.version,
        signature=route.signature.name,
        outputs=served.outputs,
        id=request.id,
    )
    return Answer(response=response, served=served)


def _mirrored(
    arm: str,
    request_id: str,
    key: BatchKey,
    served: Served,
    *,
    inputs: tuple[Tensor, ...],
    rows: int,
) -> Mirrored:
    return Mirrored(
        request_id=request_id,
        answered_by=arm,
        signature=key.signature,
        inputs=inputs,
        wanted=key.outputs,
        rows=rows,
        control=served.outputs,
        parameters=key.parameter_mapping(),
    )


def _for_backend(parameters: Mapping[str, Parameter]) -> Mapping[str, Parameter]:
    """Those that may change what a backend answers, so that only requests which agree share a batch."""
    return {
        name: value
        for name, value in parameters.items()
        if name not in OWN_PARAMETERS and not name.startswith("tandem_")
    }


def _alone(key: BatchKey, request: InferRequest) -> BatchKey:
    """The key of a request that is sent as it is."""
    alone = BatchKey.of(
        version=key.version,
        signature=key.signature,
        inputs=request.inputs,
        batchable=False,
        outputs=key.outputs,
    )
    return alone._replace(as_is=True)


def _in_order(signature: Signature, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The inputs in the signature's order, so that callers' orders do not split batches."""
    if len(inputs) == 1:
        return inputs
    by_name = {tensor.name: tensor for tensor in inputs}
    if len(by_name) != len(inputs) or by_name.keys() != signature.inputs.keys():
        return inputs  # which are going to be refused, as they came
    return tuple([by_name[name] for name in signature.inputs])
