"""What may be asked of the gateway itself? Metrics, health, and what is served, on a port of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from gateway import __version__
from gateway.config import Config
from gateway.control.health import is_complete, is_serving
from gateway.pipeline import Pipeline
from gateway.routing.table import Arm
from gateway.tensors import TensorSpec

__all__ = ["ConfigState", "admin_api"]


@dataclass(slots=True, kw_only=True)
class ConfigState:
    """Which configuration is in force, and what came of the newest attempt to change it.

    Attributes:
        loaded_at: When the configuration in force was applied, RFC 3339, UTC.
        last_error: Why the newest file was refused; "" when it is the one in force.
    """

    path: str
    config: Config
    loaded_at: str
    last_error: str = ""


def admin_api(
    pipeline: Pipeline, registry: CollectorRegistry, state: Callable[[], ConfigState]
) -> FastAPI:
    """The admin application: /metrics, /healthz, /readyz, /admin/models."""
    api = FastAPI(docs_url=None, redoc_url=None, title="Tandem admin", version=__version__)

    @api.get("/metrics", summary="Prometheus or OpenMetrics text", response_class=Response)
    def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"content-type": content_type})

    @api.get("/healthz", summary="Liveness: the event loop turns; backends have no say")
    async def healthz() -> dict[str, bool]:
        return {"live": True}

    @api.get("/readyz", summary="Readiness: requests are accepted, and some model can answer")
    async def readyz(*, complete: bool = False) -> JSONResponse:
        """With `complete=true`: every arm that takes traffic is ready, not just some model."""
        ready = is_serving(pipeline) and (not complete or is_complete(pipeline.table))
        return JSONResponse({"ready": ready}, status_code=200 if ready else 503)

    @api.get("/admin/models", summary="What is served, arm by arm")
    async def models() -> dict[str, Any]:
        return _models(pipeline, state())

    return api


def _models(pipeline: Pipeline, state: ConfigState) -> dict[str, Any]:
    listed = []
    for name, routes in sorted(pipeline.table.models.items()):
        config = state.config.models[name]
        listed.append(
            {
                "name": name,
                "labels": dict(config.labels),
                "arms": [_arm(arm, state.config) for arm in routes.arms.values()],
                "shadow": [{"arm": s.arm, "sample_ratio": s.sample_ratio} for s in config.shadow],
                "batching": asdict(config.batching),
                "sequence": asdict(config.sequence),
                "split": {"unit": list(config.split.unit), "salt": config.split.salt},
            }
        )
    force = {"path": state.path, "loaded_at": state.loaded_at, "last_error": state.last_error}
    return {"models": listed, "config": force}


def _arm(arm: Arm, config: Config) -> dict[str, Any]:
    signatures = {} if arm.description is None else arm.description.signatures
    return {
        "name": arm.name,
        "backend": arm.backend,
        "kind": config.backends[arm.backend].kind,
        "address": config.backends[arm.backend].address,
        "version": arm.version,
        "state": "ready" if arm.is_ready else "not ready",
        "weight": arm.weight,
        "error": arm.error,
        "complaint": arm.complaint,
        "signatures": {
            name: {"inputs": _specs(found.inputs), "outputs": _specs(found.outputs)}
            for name, found in signatures.items()
        },
    }


def _specs(specs: Mapping[str, TensorSpec]) -> list[dict[str, Any]]:
    return [
        {
            "name": spec.name,
            "datatype": spec.datatype,
            "shape": None if spec.shape is None else list(spec.shape),
        }
        for spec in specs.values()
    ]
