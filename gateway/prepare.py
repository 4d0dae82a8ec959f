"""What does the queue need to know of a request: its key, its inputs in order, its rows, its shadows?

Nothing here waits or counts; whoever asks it next is the queue.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.batching.entry import LOW, NORMAL
from gateway.batching.key import BatchKey
from gateway.errors import InvalidRequest
from gateway.messages import OWN_PARAMETERS, InferRequest, Parameter, Target, is_step
from gateway.scene import Route, Scene, is_harmless, ranks_of
from gateway.shadow.mirror import Mirror
from gateway.tensors import Signature, Tensor
from gateway.values import value_class

__all__ = ["Kind", "Prepared", "prepared", "prepared_again"]


@value_class()
class Prepared:
    """A request that fits, or that is left to its backend as it is.

    Attributes:
        key: With whom it may share a batch.
        inputs: `[rows, …]` each, in the signature's order.
        rows: 1 if it has no batch dimension.
        mirrors: Of the shadows that are to see it.
        priority: See `batching.entry`.
    """

    key: BatchKey
    inputs: tuple[Tensor, ...]
    rows: int
    mirrors: tuple[Mirror, ...]
    priority: int = NORMAL


def prepared(route: Route, request: InferRequest, *, as_is: bool) -> Prepared:
    """The request as its arm's queue wants it.

    With `as_is`, one that does not fit the signature is left to a backend that checks it itself: it is to
    be sent alone, and nobody mirrors it.

    Raises:
        InvalidRequest: the inputs or outputs do not fit the signature, or the priority is none.
    """
    priority, mirrors = NORMAL, route.mirrors
    arm, signature = route.decision.arm, route.signature
    inputs = _in_order(signature, request.inputs)
    key = BatchKey.of(
        version=arm.version,
        signature=signature.name,
        inputs=inputs,
        batchable=signature.is_batchable,
        outputs=request.outputs,
        parameters=_for_backend(request.parameters) if request.parameters else {},
    )
    if request.parameters:
        priority = _priority(request.parameters.get("priority", 0))
        if is_step(request.parameters):
            mirrors = ()  # a shadow sees a sample of the requests: no sequence would be whole
    try:
        if signature.sequence is not None and key.batchable:
            key = key.in_bucket(signature.sequence)
        rows = route.lane.check(key, signature, request.inputs)
    except InvalidRequest:
        if not (as_is and arm.checks_itself and is_harmless(signature, request.inputs)):
            raise
        alone = _alone(key, request)
        if route.lane.deadly and ranks_of(alone) in route.lane.deadly:
            raise
        return Prepared(alone, request.inputs, 1, (), priority)
    return Prepared(key, inputs, rows, mirrors, priority)


class Kind:
    """What was found out about a request, for those that differ from it in the values of their tensors alone.

    Attributes:
        scene: The one in which that is true, None at first.
        target, route: Where they go in it, if nothing but the message decides.
        ready: What `prepared` said of the last one for `route`, without its inputs; None before.
    """

    __slots__ = ("ready", "route", "scene", "target")

    target: Target
    route: Route

    def __init__(self) -> None:
        self.scene: Scene | None = None
        self.ready: Prepared | None = None


def prepared_again(kind: Kind, route: Route, request: InferRequest, *, as_is: bool) -> Prepared:
    """As `prepared`, for a request of one input of which there may have been others of its kind.

    Raises: as `prepared`.
    """
    if kind.scene is None or kind.route is not route:
        return prepared(route, request, as_is=as_is)
    ready = kind.ready
    if ready is not None:
        return Prepared(ready.key, request.inputs, ready.rows, ready.mirrors, ready.priority)
    ready = prepared(route, request, as_is=as_is)
    if not ready.key.as_is:  # else they may be refused from now on
        kind.ready = Prepared(ready.key, (), ready.rows, ready.mirrors, ready.priority)
    return ready


def _priority(asked: Parameter) -> int:
    """The class of a priority as Triton has them: 1 is the highest, and 0 the usual."""
    if isinstance(asked, bool) or not isinstance(asked, int) or asked < 0:
        raise InvalidRequest(
            f"got {asked!r}, wanted a whole number: 1 is high, 2 or 0 normal, more is low",
            path="parameters['priority']",
        )
    return min(asked, LOW) or NORMAL


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
