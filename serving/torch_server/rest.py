"""The Open Inference Protocol over REST, all but the inference itself, and `GET /metrics`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.routing import Route

from gateway import __version__
from gateway.codecs import oip_json
from gateway.errors import (
    GatewayError,
    InvalidRequest,
    NotReady,
)
from serving.torch_server.infer import InferRoutes, read_body, refused
from serving.torch_server.inference import EXTENSIONS, SERVER_NAME, Inference
from serving.torch_server.metrics import Metrics

__all__ = ["make_rest_app"]

_JSON = "application/json"
_MAX_SMALL_BODY_BYTES = 4096
_MODEL_PATHS = ("/v2/models/{model}", "/v2/models/{model}/versions/{version}")


def make_rest_app(inference: Inference, infer: InferRoutes, metrics: Metrics) -> FastAPI:
    """The application: health, metadata and metrics as routes of FastAPI, `infer` as a raw endpoint."""
    app = FastAPI(
        title="Tandem's PyTorch server", version=__version__, docs_url=None, redoc_url=None
    )
    app.add_exception_handler(GatewayError, _answer_gateway_error)
    app.add_exception_handler(HTTPException, _answer_http_error)
    _add_server_routes(app, inference, metrics)
    _add_model_routes(app, inference)
    for path in _MODEL_PATHS:
        app.router.routes.append(Route(f"{path}/infer", infer, methods=["POST"]))
    return app


def _add_server_routes(app: FastAPI, inference: Inference, metrics: Metrics) -> None:
    @app.get("/v2")
    async def server_metadata() -> Response:
        return _json(oip_json.encode_server_metadata(SERVER_NAME, __version__, EXTENSIONS))

    @app.get("/v2/health/live")
    async def server_live() -> dict[str, bool]:
        return {"live": True}

    @app.get("/v2/health/ready")
    async def server_ready(response: Response) -> dict[str, bool]:
        ready = inference.is_ready
        response.status_code = 200 if ready else 503
        return {"ready": ready}

    @app.post("/v2/repository/index")
    async def repository_index(request: Request) -> list[dict[str, str]]:
        body = await read_body(request.scope, request.receive, _MAX_SMALL_BODY_BYTES)
        return [asdict(model) for model in inference.index(ready_only=_asks_for_ready(body))]

    @app.get("/metrics")
    async def metrics_exposition() -> Response:
        content_type = "text/plain; version=0.0.4; charset=utf-8"
        return Response(metrics.exposition(), headers={"content-type": content_type})


def _add_model_routes(app: FastAPI, inference: Inference) -> None:
    async def model_metadata(model: str, version: str | None = None) -> Response:
        description, versions = inference.describe(model, version)
        return _json(oip_json.encode_model_metadata(description, versions))

    async def model_ready(
        response: Response, model: str, version: str | None = None
    ) -> dict[str, Any]:
        try:
            ready = inference.is_model_ready(model, version)
        except NotReady:
            ready = False
        response.status_code = 200 if ready else 503
        return {"name": model, "ready": ready}

    for path in _MODEL_PATHS:
        app.get(path)(model_metadata)
        app.get(f"{path}/ready")(model_ready)


def _asks_for_ready(body: bytes) -> bool:
    try:
        document = orjson.loads(body) if body.strip() else {}
    except orjson.JSONDecodeError as exc:
        raise InvalidRequest(f"the body is not JSON: {exc}") from exc
    ready = document.get("ready", False) if isinstance(document, dict) else None
    if not isinstance(ready, bool):
        raise InvalidRequest('wanted an object like {"ready": true}')
    return ready


def _json(content: bytes, status: int = 200) -> Response:
    return Response(content, status, media_type=_JSON)


async def _answer_gateway_error(request: Request, exc: Exception) -> Response:  # noqa: ARG001
    assert isinstance(exc, GatewayError)
    reply = refused(exc)
    headers = {name.decode(): value.decode() for name, value in reply.headers}
    return Response(reply.body, reply.status, headers=headers, media_type=_JSON)


async def _answer_http_error(request: Request, exc: Exception) -> Response:  # noqa: ARG001
    assert isinstance(exc, HTTPException)
    return _json(oip_json.encode_error(exc.detail), exc.status_code)
