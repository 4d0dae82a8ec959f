"""The story of one request: which arm, with whom, what it said, and who else is asked.

`route` decides without waiting; between it and `infer` the server decodes the body by the arm's signature
(TF Serving's JSON cannot be read without one), also without waiting, so both see the same table.

Invariant: `scene` is replaced as a whole and never changed in place, but for what it remembers; a request
reads it once, in `route`, and keeps the lane it got there, so a reload never moves a request that was
already accepted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TypeAlias

from gateway.answering import Answer, InFlight, Pending, Tell, answered
from gateway.errors import Unsupported
from gateway.lifecycle import Lifecycle
from gateway.messages import Deadline, ExampleMethod, InferRequest, Target, Trace
from gateway.ports import ExampleBackend
from gateway.prepare import Kind, prepared, prepared_again
from gateway.routing.table import RouteTable
from gateway.scene import Lane, Route, Scene
from gateway.telemetry.metrics import Metrics
from gateway.tensors import Signature

__all__ = ["Answer", "Lane", "Pipeline", "Route", "Scene"]

EncodeFor: TypeAlias = Callable[[str, str], bytes]
"""Writes a message for a backend, given the name and version under which it knows the model."""


class Pipeline:
    """Takes a request from its decoded form to its answer."""

    def __init__(
        self,
        lifecycle: Lifecycle,
        metrics: Metrics,
        *,
        max_requests_in_flight: int,
    ) -> None:
        self._lifecycle = lifecycle
        self._metrics = metrics
        self._in_flight = InFlight(max_requests_in_flight)
        self.scene = Scene()
        metrics.in_flight_requests.set_function(lambda: self._in_flight.count)

    def __repr__(self) -> str:
        models = ", ".join(self.scene.table.models) or "no models"
        return f"<Pipeline {self.in_flight} in flight, {models}>"

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
        return self._in_flight.count

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

    def route_again(self, route: Route) -> Route:
        """As `route`, for what it said of the same target while the scene was the same.

        Raises:
            NotReady: the gateway is not ready.
        """
        if not self._lifecycle.is_serving:
            self._lifecycle.check()
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
        ready = prepared(route, request, as_is=as_is)
        self._in_flight.enter()
        try:
            served = await route.lane.queue.submit(
                ready.key,
                ready.inputs,
                ready.rows,
                deadline,
                priority=ready.priority,
                trace=trace,
            )
        finally:
            self._in_flight.leave()
        return answered(route, request, ready, served, request_id=request_id)

    def begin(
        self,
        route: Route,
        request: InferRequest,
        tell: Tell,
        *,
        deadline: Deadline,
        request_id: str,
        as_is: bool = False,
        trace: Trace | None = None,
        kind: Kind | None = None,
    ) -> Pending | None:
        """As `infer`, for who has no coroutine: `tell` hears of the answer, or of the error.

        None, and nothing is done, for a request that is more than one batch: it can only be awaited. `kind`
        spares what was found out about the last request that differed in its values alone.

        Raises:
            InvalidRequest, QueueFull, DeadlineExceeded: at once, as `infer`; `tell` is not called then.
        """
        if kind is None:
            ready = prepared(route, request, as_is=as_is)
        else:
            ready = prepared_again(kind, route, request, as_is=as_is)
        queue = route.lane.queue
        if queue.is_in_pieces(ready.key, ready.rows):
            return None
        self._in_flight.enter()
        pending = Pending(self._in_flight, route, request, ready, tell=tell, request_id=request_id)
        try:
            pending.entry = queue.enter(
                ready.key,
                ready.inputs,
                ready.rows,
                deadline,
                answer=pending,
                priority=ready.priority,
                trace=trace,
            )
        except BaseException:
            self._in_flight.leave()
            raise
        return pending

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
        self._in_flight.enter()
        try:
            message = data(arm.backend_model, arm.version)
            return await backend.ask(method, message, deadline, trace=trace)
        finally:
            self._in_flight.leave()
