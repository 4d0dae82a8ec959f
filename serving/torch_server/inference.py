"""What does one request become, whichever protocol it came in?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.codecs.oip_model import IndexedModel
from gateway.errors import GatewayError
from gateway.messages import Deadline, InferRequest, InferResponse, ModelDescription
from serving.torch_server.fleet import Fleet, Served
from serving.torch_server.metrics import Metrics

__all__ = ["EXTENSIONS", "SERVER_NAME", "Inference"]

SERVER_NAME = "tandem-torch-server"
EXTENSIONS = ("binary_tensor_data", "parameters", "model_repository")

_STATES = {"READY": "READY", "LOADING": "LOADING", "UNLOADING": "UNLOADING"}


class Inference:
    """Answers requests from the fleet, and counts each one once."""

    def __init__(self, fleet: Fleet, metrics: Metrics) -> None:
        self.is_draining = False
        self._fleet = fleet
        self._metrics = metrics

    async def infer(self, read: Callable[[], InferRequest], deadline: Deadline) -> InferResponse:
        """Read a request and answer it. Its `compute_ms` parameter is the time the package ran.

        Args:
            read: Decodes the request; its error counts as the request's.
            deadline: After which nobody waits.

        Raises:
            GatewayError: in the words of `gateway.errors`, with whose fault it is.
        """
        served: Served | None = None
        try:
            request = read()
            served = self._fleet.find(request.model, request.version)
            return await _ask(served, request, deadline)
        except BaseException as exc:
            model, version = (served.model, served.version) if served is not None else ("", "")
            self._metrics.count_request(model, version, _outcome(exc))
            raise

    def describe(self, model: str, version: str | None) -> tuple[ModelDescription, tuple[str, ...]]:
        """One version, the newest that is ready if none is named; and the versions that can be asked.

        Raises:
            UnknownModel, NotReady: as for a request.
        """
        served = self._fleet.find(model, version)
        signature = served.contract.signature
        description = ModelDescription(
            model=model,
            version=served.version,
            platform=served.platform,
            signatures={signature.name: signature},
        )
        return description, (served.version,) if version else self._fleet.versions(model)

    @property
    def is_ready(self) -> bool:
        """Whether new requests are welcome."""
        return self._fleet.is_ready and not self.is_draining

    def is_model_ready(self, model: str, version: str | None) -> bool:
        """Whether a version, or any of a model's, is loaded and has a living worker.

        Raises:
            UnknownModel: there is no such model or version.
            NotReady: there is, but it is not loaded; with the reason.
        """
        return self._fleet.find(model, version).pool.workers > 0

    def index(self, *, ready_only: bool) -> tuple[IndexedModel, ...]:
        """Every version that is held; `reason` says why one was refused or is without a worker."""
        models = (
            IndexedModel(
                name=state.model,
                version=state.version,
                state=_STATES.get(state.phase, "UNAVAILABLE"),
                reason=state.problem,
            )
            for state in self._fleet.states()
        )
        return tuple(model for model in models if model.state == "READY" or not ready_only)


def _outcome(exc: BaseException) -> str:
    if isinstance(exc, GatewayError):
        return exc.reason
    return "caller_left" if isinstance(exc, asyncio.CancelledError) else "internal"


async def _ask(served: Served, request: InferRequest, deadline: Deadline) -> InferResponse:
    contract = served.contract
    wanted = contract.choose_outputs(request.outputs)
    inputs = contract.order_inputs(request.inputs)
    answer = await served.pool.run(inputs, deadline)
    outputs = contract.name_outputs(answer.outputs, inputs)
    metrics = served.metrics
    metrics.answered.inc()
    metrics.rows.inc(inputs[0].shape[0] if contract.signature.is_batchable else 1)
    metrics.run_seconds.observe(answer.run_ms / 1e3)
    metrics.queue_seconds.observe(answer.queue_s)
    return InferResponse(
        model=served.model,
        version=served.version,
        outputs=tuple(outputs[position] for position in wanted),
        id=request.id,
        parameters={"compute_ms": answer.run_ms},
    )
