"""The Open Inference Protocol over REST, and `GET /metrics`."""

from __future__ import annotations

import asyncio
import math
from dataclasses import asdict
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from gateway import __version__
from gateway.codecs import oip_json
from gateway.errors import (
    BodyTooLarge,
    CallerLeft,
    GatewayBusy,
    GatewayError,
    InvalidRequest,
    NotReady,
    Unsupported,
)
from gateway.messages import Deadline, InferRequest
from serving.torch_server.inference import EXTENSIONS, SERVER_NAME, Inference
from serving.torch_server.metrics import Metrics
from serving.torch_server.settings import Settings

__all__ = ["make_rest_app"]

_JSON = "application/json"
_HEADER_LENGTH = "inference-header-content-length"
_MAX_DIGITS = 18
_MAX_SMALL_BODY_BYTES = 4096
_MODEL_PATHS = ("/v2/models/{model}", "/v2/models/{model}/versions/{version}")


def make_rest_app(inference: Inference, metrics: Metrics, settings: Settings) -> FastAPI:
    """The application: health, metadata and metrics as routes of FastAPI, inference as a raw endpoint."""
    app = FastAPI(
        title="Tandem's PyTorch server", version=__version__, docs_url=None, redoc_url=None
    )
    app.add_exception_handler(GatewayError, _answer_gateway_error)
    app.add_exception_handler(HTTPException, _answer_http_error)
    _add_server_routes(app, inference, metrics)
    _add_model_routes(app, inference)
    endpoint = _InferEndpoint(inference, settings)
    for path in _MODEL_PATHS:
        app.router.routes.append(Route(f"{path}/infer", endpoint, methods=["POST"]))
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
        body = await _read_body(request.scope, request.receive, _MAX_SMALL_BODY_BYTES)
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


class _InferEndpoint:
    """An ASGI application for the infer routes: it notices when its client leaves."""

    def __init__(self, inference: Inference, settings: Settings) -> None:
        self._inference = inference
        self._default_timeout_s = settings.default_timeout_s
        self._max_body_bytes = settings.max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await _read_body(scope, receive, self._max_body_bytes)
        except CallerLeft:
            return
        except GatewayError as exc:
            await _answer_error(exc)(scope, receive, send)
            return
        response: Response | None = None
        try:
            async with asyncio.TaskGroup() as group:
                watcher = group.create_task(_watch_caller(receive))
                response = await self._answer(scope, body)
                watcher.cancel()
        except* CallerLeft:
            pass  # it was counted when it was cancelled, and nobody reads an answer
        if response is not None:
            await response(scope, receive, send)

    async def _answer(self, scope: Scope, body: bytes) -> Response:
        deadline = Deadline.after(asyncio.get_running_loop().time(), self._default_timeout_s)
        form = oip_json.OutputForm()

        def read() -> InferRequest:
            nonlocal form
            where = scope["path_params"]
            request, form = oip_json.decode_request(
                body,
                _header_length(Headers(scope=scope)),
                model=where["model"],
                version=where.get("version"),
            )
            return request

        try:
            response = await self._inference.infer(read, deadline)
            content, header_length = oip_json.encode_response(response, form)
        except GatewayError as exc:
            return _answer_error(exc)
        if header_length is None:
            return _json(content)
        headers = {
            "content-type": "application/octet-stream",
            _HEADER_LENGTH: str(header_length),
        }
        return Response(content, headers=headers)


async def _read_body(scope: Scope, receive: Receive, max_bytes: int) -> bytes:
    headers = Headers(scope=scope)
    if headers.get("content-encoding", "identity") != "identity":
        raise Unsupported(f"got Content-Encoding {headers['content-encoding']!r}, none is spoken")
    parts: list[bytes] = []
    size = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise CallerLeft("the client left while it sent its request")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > max_bytes:
            raise BodyTooLarge(f"got more than {max_bytes} bytes")
        more = message.get("more_body", False)
    return b"".join(parts)


async def _watch_caller(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    raise CallerLeft("the client left before its answer")


def _asks_for_ready(body: bytes) -> bool:
    try:
        document = orjson.loads(body) if body.strip() else {}
    except orjson.JSONDecodeError as exc:
        raise InvalidRequest(f"the body is not JSON: {exc}") from exc
    ready = document.get("ready", False) if isinstance(document, dict) else None
    if not isinstance(ready, bool):
        raise InvalidRequest('wanted an object like {"ready": true}')
    return ready


def _header_length(headers: Headers) -> int | None:
    text = headers.get(_HEADER_LENGTH)
    if text is None:
        return None
    if not text.isdecimal() or len(text) > _MAX_DIGITS:
        raise InvalidRequest(f"got {text!r}, wanted a number of bytes", path=_HEADER_LENGTH)
    return int(text)


def _json(content: bytes, status: int = 200) -> Response:
    return Response(content, status, media_type=_JSON)


def _answer_error(exc: GatewayError) -> Response:
    response = _json(oip_json.encode_error(str(exc)), exc.http_status)
    if isinstance(exc, GatewayBusy):
        response.headers["retry-after"] = str(math.ceil(exc.retry_after_s))
    return response


async def _answer_gateway_error(request: Request, exc: Exception) -> Response:  # noqa: ARG001
    assert isinstance(exc, GatewayError)
    return _answer_error(exc)


async def _answer_http_error(request: Request, exc: Exception) -> Response:  # noqa: ARG001
    assert isinstance(exc, HTTPException)
    return _json(oip_json.encode_error(exc.detail), exc.status_code)
