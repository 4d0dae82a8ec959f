"""What may be asked of all workers together? The admin API of a supervisor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any, Protocol

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from gateway import __version__
from gateway.workers.asking import Workers
from gateway.workers.ledger import Ledger
from gateway.workers.told import families_of, metric_of, written_statistics

__all__ = ["supervisor_api"]


class Standing(Protocol):
    """How the supervisor stands."""

    @property
    def count(self) -> int:
        """Workers that there should be."""

    @property
    def is_leaving(self) -> bool:
        """Whether it drains."""


def supervisor_api(
    workers: Workers, ledger: Ledger, registry: CollectorRegistry, standing: Standing
) -> FastAPI:
    """The application: as a gateway's own, for all workers; what is not here, one of them is asked."""
    api = FastAPI(docs_url=None, redoc_url=None, title="Tandem admin", version=__version__)
    merged = CollectorRegistry()
    merged.register(_Merged(ledger, registry))

    @api.get("/metrics", summary="Prometheus or OpenMetrics text", response_class=Response)
    async def metrics(request: Request) -> Response:
        """Of all workers together, those that have died included."""
        await workers.learn()
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(merged), headers={"content-type": content_type})

    @api.get("/healthz", summary="Liveness: the supervisor's event loop turns")
    async def healthz() -> dict[str, bool]:
        return {"live": True}

    @api.get("/readyz", summary="Readiness: at least one worker accepts requests")
    async def readyz(*, complete: bool = False) -> JSONResponse:
        """With `complete=true`: every worker does, for every arm that takes traffic."""
        found = await workers.ask_all(f"/readyz?complete={str(complete).lower()}")
        count = sum(reply.status == HTTPStatus.OK for reply in found.values())
        wanted = standing.count if complete else 1
        ready = count >= wanted and not standing.is_leaving
        told = {"ready": ready, "workers": {"ready": count, "of": standing.count}}
        return JSONResponse(told, status_code=200 if ready else 503)

    @api.get("/admin/models", summary="What is served, arm by arm")
    async def models() -> JSONResponse:
        """As the worker tells it whose configuration is the oldest: what all have in force."""
        found = await workers.ask_json("/admin/models")
        if not found:
            return _nobody()
        return JSONResponse(_oldest(found))

    @api.get("/admin/statistics", summary="What became of requests, by model and version")
    async def statistics() -> Response:
        """Of all workers together; what the Open Inference Protocol's statistics are made from."""
        await workers.learn()
        return Response(written_statistics(ledger.statistics()), media_type="application/json")

    @api.api_route(
        "/admin/{rest:path}", methods=["GET", "POST", "PUT", "DELETE"], include_in_schema=False
    )
    async def others(request: Request) -> Response:
        return await _passed_on(workers, request)

    return api


class _Merged(Collector):
    """The metrics of all workers, and of the supervisor, for whoever encodes a registry."""

    def __init__(self, ledger: Ledger, own: CollectorRegistry) -> None:
        self._ledger = ledger
        self._own = own

    def collect(self) -> Iterator[Metric]:
        """All of them, as last told."""
        return map(metric_of, self._ledger.families(families_of(self._own)))


def _oldest(found: Mapping[int, Any]) -> dict[str, Any]:
    number = min(found, key=lambda one: (found[one]["config"]["loaded_at"], one))
    oldest: dict[str, Any] = found[number]
    workers = [{"worker": one, **told["config"]} for one, told in sorted(found.items())]
    errors = (told["config"]["last_error"] for told in found.values())
    error = next(filter(None, errors), "")
    return oldest | {"config": oldest["config"] | {"last_error": error, "workers": workers}}


async def _passed_on(workers: Workers, request: Request) -> Response:
    path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    for number in workers.up if request.method == "GET" else workers.up[:1]:
        reply = await workers.ask(
            number, path, method=request.method, body=await request.body() or None
        )
        if reply is not None:
            kept = {"content-type": reply.headers.get("Content-Type", "application/octet-stream")}
            return Response(reply.body, reply.status, headers=kept)
    return _nobody()


def _nobody() -> JSONResponse:
    return JSONResponse({"error": "no worker is up"}, status_code=503)
