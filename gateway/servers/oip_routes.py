"""What does the Open Inference Protocol's REST API tell besides answers? FastAPI routes under `/v2`."""

from __future__ import annotations

import functools
from typing import Any, TypeAlias

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import JSONResponse

from gateway import __version__
from gateway.codecs import oip_json, oip_json_metadata
from gateway.codecs.oip_model_config import encode_config_json
from gateway.codecs.oip_statistics import encode_statistics_json
from gateway.errors import GatewayError, UnknownModel, Unsupported
from gateway.messages import Target
from gateway.servers.body import read_body
from gateway.servers.exchange import Desk
from gateway.servers.oip_told import EXTENSIONS, configuration_of, statistics_of
from gateway.servers.problems import headers_of, text_of
from gateway.servers.statuses import describe_target, index_of, is_ready, versions_of

__all__ = ["REFUSED", "add_oip_routes"]

_MAX_QUESTION_BYTES = 64 * 1024

_NO_REPOSITORY = (
    "models are set in Tandem's configuration file, which is read again when it changes"
)
_NO_MEMORY = "shared memory is not spoken here, send the tensors' data"
_NO_TRACE = "traces are not set over this API"
_NO_LOGGING = "logging is set in Tandem's configuration file (log.level)"
_NO_TEXT = "text generation is not spoken here, ask with infer"

REFUSED = {
    "/v2/repository/models/{model}/load": _NO_REPOSITORY,
    "/v2/repository/models/{model}/unload": _NO_REPOSITORY,
    "/v2/systemsharedmemory/{rest:path}": _NO_MEMORY,
    "/v2/cudasharedmemory/{rest:path}": _NO_MEMORY,
    "/v2/trace/setting": _NO_TRACE,
    "/v2/models/{model}/trace/setting": _NO_TRACE,
    "/v2/logging": _NO_LOGGING,
    "/v2/models/{model}/generate": _NO_TEXT,
    "/v2/models/{model}/generate_stream": _NO_TEXT,
}
"""Parts of Triton's API that are answered with 501, and what is said then."""

_Responses: TypeAlias = dict[int | str, dict[str, Any]]
_UNKNOWN: _Responses = {404: {"description": "No such model or version"}}
_AWAY: _Responses = {503: {"description": "Not ready"}}


def add_oip_routes(api: FastAPI, desk: Desk) -> None:
    """Serve metadata, health, statistics, configuration and the index, and errors in the protocol's form."""
    told = _Told(desk)
    router = APIRouter(tags=["Open Inference Protocol v2"])
    router.get("/", summary="Whether the process answers, for KServe's V1 clients")(told.alive)
    router.get("/v2", summary="Server metadata")(told.server)
    router.get("/v2/health/live", summary="Whether the process answers")(told.live)
    router.get("/v2/health/ready", summary="Whether requests are accepted", responses=_AWAY)(
        told.ready
    )
    router.get("/v2/models", summary="The models that are served")(told.models)
    router.get("/v2/models/stats", summary="The statistics of all models")(told.all_statistics)
    router.post("/v2/repository/index", summary="Every version and its state")(told.index)
    for path in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
        of_model = functools.partial(router.get, responses={**_UNKNOWN, **_AWAY})
        of_model(path, summary="A model's inputs and outputs")(told.metadata)
        of_model(f"{path}/ready", summary="Whether a model can answer")(told.model_ready)
        of_model(f"{path}/config", summary="How a model is batched")(told.configuration)
        of_model(f"{path}/stats", summary="What became of a model's requests")(told.statistics)
    for path, text in REFUSED.items():
        _refuse(router, path, text)
    api.include_router(router)


class _Told:
    """What the FastAPI routes tell."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._pipeline = desk.pipeline

    async def server(self) -> dict[str, Any]:
        return {"name": "tandem", "version": __version__, "extensions": list(EXTENSIONS)}

    async def alive(self) -> dict[str, str]:
        return {"status": "alive"}

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
        table = self._pipeline.table
        try:
            description = describe_target(table, target)
        except GatewayError as error:
            return _problem(error, target)
        versions = versions_of(table.model(model))
        return _json(oip_json.encode_model_metadata(description, versions))

    async def configuration(self, model: str, version: str | None = None) -> Response:
        target = Target(model=model, version=version)
        try:
            return _json(encode_config_json(*configuration_of(self._pipeline, target)))
        except GatewayError as error:
            return _problem(error, target)

    async def all_statistics(self) -> Response:
        return await self.statistics("")

    async def statistics(self, model: str, version: str | None = None) -> Response:
        try:
            told = await statistics_of(self._desk, model, version)
        except GatewayError as error:
            return _problem(error, Target(model=model, version=version))
        return _json(encode_statistics_json(told))

    async def index(self, request: Request) -> Response:
        try:
            headers = dict(request.scope["headers"])
            body = await read_body(request.receive, headers, _MAX_QUESTION_BYTES, _hold_nothing)
            ready_only = oip_json_metadata.decode_repository_index_request(body)
        except GatewayError as error:
            return _problem(error, None)
        entries = index_of(self._pipeline.table, ready_only=ready_only)
        return _json(oip_json_metadata.encode_repository_index(entries))


def _refuse(router: APIRouter, path: str, text: str) -> None:
    async def refuse() -> Response:
        return _problem(Unsupported(text), None)

    router.add_api_route(path, refuse, methods=["GET", "POST"], include_in_schema=False)


def _hold_nothing(_: int) -> None:
    """A question is too small to be accounted for."""


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")


def _problem(error: GatewayError, target: Target | None) -> JSONResponse:
    headers = {name.decode(): value.decode() for name, value in headers_of(error)}
    body = {"error": text_of(error, "oip_rest", target)}
    return JSONResponse(body, error.http_status, headers=headers)
