"""The Open Inference Protocol's REST API: `POST /v2/models/…/infer` raw, the rest as FastAPI routes."""

from __future__ import annotations

import functools
import re
from typing import Any
from urllib.parse import unquote

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from gateway import __version__
from gateway.codecs import oip_json
from gateway.errors import GatewayError, InvalidRequest, UnknownModel
from gateway.messages import InferRequest, ModelDescription, Target
from gateway.pipeline import Pipeline
from gateway.servers.exchange import Desk, Exchange
from gateway.servers.heavy import HEAVY_BYTES, HeavyWork, are_heavy
from gateway.servers.problems import text_of
from gateway.servers.rest import Call, Reply
from gateway.servers.statuses import describe_target, is_ready, versions_of

__all__ = ["EXTENSIONS", "OipRest", "oip_routes", "timeout_s_of"]

EXTENSIONS = ("binary_tensor_data", "parameters", "model_repository(index)")
_INFER = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?/infer")
_HEADER_LENGTH = "inference-header-content-length"


@functools.lru_cache(maxsize=1024)
def _match(path: str) -> Target | None:
    found = _INFER.fullmatch(path)
    if found is None:
        return None
    model, version = found.groups()
    return Target(model=unquote(model), version=None if version is None else unquote(version))


def timeout_s_of(request: InferRequest) -> float | None:
    """The `timeout` parameter (microseconds, as Triton's schedule policy has it), in seconds.

    Raises:
        InvalidRequest: it is not a number above 0; 0 means that none is asked for.
    """
    asked = request.parameters.get("timeout", 0)
    if isinstance(asked, bool) or not isinstance(asked, int | float) or asked < 0:
        raise InvalidRequest(f"got {asked!r}, wanted microseconds", path="parameters.timeout")
    return None if asked == 0 else asked / 1e6


def _header_length(call: Call) -> int | None:
    text = call.headers.get(_HEADER_LENGTH)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):  # noqa: PLR2004 - digits of int64
        raise InvalidRequest(
            f"got {text[:64]!r}, wanted a number of bytes", path="Inference-Header-Content-Length"
        )
    return int(text)


class OipRest:
    """The endpoint of infer."""

    def __init__(self, desk: Desk, heavy: HeavyWork) -> None:
        self._desk = desk
        self._heavy = heavy
        self._pipeline: Pipeline = desk.pipeline

    def target_of(self, method: str, path: str) -> Target | None:
        """The model that a path names, None if it names none."""
        return _match(path) if method == "POST" else None

    async def __call__(self, exchange: Exchange, call: Call) -> Reply:
        """Answer one call."""
        exchange.target = asked = _match(call.path)
        if asked is None:
            raise InvalidRequest(f"Malformed request: {call.method} {call.path}")
        length, size = _header_length(call), len(call.body)
        if (size if length is None else min(length, size)) > HEAVY_BYTES:
            request, form = await self._heavy.run(
                self._desk.reading_deadline(call.headers, exchange),
                oip_json.decode_request,
                call.body,
                length,
                model=asked.model,
                version=asked.version,
            )
        else:
            request, form = oip_json.decode_request(
                call.body, length, model=asked.model, version=asked.version
            )
        exchange.target = target = self._desk.target(call.headers, exchange, asked, "")
        deadline = self._desk.deadline(call.headers, exchange, timeout_s_of(request))
        exchange.route = route = self._pipeline.route(target)
        answer = await self._pipeline.infer(
            route, request, deadline=deadline, request_id=exchange.request_id
        )
        exchange.answer = answer
        response = answer.response
        if are_heavy(tensor for tensor in response.outputs if not form.is_binary(tensor.name)):
            encode = oip_json.encode_response
            body, header_length = await self._heavy.run(deadline, encode, response, form)
        else:
            body, header_length = oip_json.encode_response(response, form)
        if header_length is None:
            return Reply(200, body)
        headers = [(_HEADER_LENGTH.encode(), str(header_length).encode())]
        return Reply(200, body, b"application/octet-stream", headers)


def oip_routes(pipeline: Pipeline) -> APIRouter:
    """Server and model metadata, health and readiness, as FastAPI routes."""
    router = APIRouter(tags=["Open Inference Protocol v2"])
    told = _Told(pipeline)
    router.get("/v2", summary="Server metadata")(told.server)
    router.get("/v2/health/live", summary="Whether the process answers")(told.live)
    router.get("/v2/health/ready", summary="Whether requests are accepted")(told.ready)
    router.get("/v2/models", summary="The models that are served")(told.models)
    for path in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
        router.get(path, summary="A model's inputs and outputs")(told.metadata)
        router.get(f"{path}/ready", summary="Whether a model can answer")(told.model_ready)
    return router


class _Told:
    """What the FastAPI routes tell."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    async def server(self) -> dict[str, Any]:
        return {"name": "tandem", "version": __version__, "extensions": list(EXTENSIONS)}

    async def live(self) -> dict[str, bool]:
        return {"live": True}

    async def ready(self) -> JSONResponse:
        ready = self._pipeline.is_ready
        return JSONResponse({"ready": ready}, 200 if ready else 503)

    async def models(self) -> dict[str, list[str]]:
        return {"models": sorted(self._pipeline.table.models)}

    async def model_ready(self, model: str, version: str | None = None) -> JSONResponse:
        try:
            routes = self._pipeline.table.model(model)
        except UnknownModel as error:
            return _problem(error, Target(model=model, version=version))
        ready = self._pipeline.is_ready and is_ready(routes, version)
        return JSONResponse({"name": model, "ready": ready}, 200 if ready else 503)

    async def metadata(self, model: str, version: str | None = None) -> Response:
        target = Target(model=model, version=version)
        try:
            description = describe_target(self._pipeline.table, target)
        except GatewayError as error:
            return _problem(error, target)
        return Response(_metadata(self._pipeline, description), media_type="application/json")


def _metadata(pipeline: Pipeline, description: ModelDescription) -> bytes:
    versions = versions_of(pipeline.table.model(description.model))
    return oip_json.encode_model_metadata(description, versions)


def _problem(error: GatewayError, target: Target) -> JSONResponse:
    return JSONResponse({"error": text_of(error, "oip_rest", target)}, error.http_status)
