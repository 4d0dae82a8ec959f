"""TorchServe's inference API: `/predictions/M[/V]` raw, `/ping` and descriptions as FastAPI routes.

TorchServe looks a model up before it reads the body, and so does this: an unknown model is 404 whatever the
body says. `OPTIONS` describes: the API at `/`, a model at its own path.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import orjson
from fastapi import APIRouter, Request, Response

from gateway.codecs.torchserve_proto import health_text
from gateway.errors import UnknownModel, Unsupported
from gateway.messages import Target
from gateway.pipeline import Pipeline
from gateway.servers.exchange import Desk, Exchange
from gateway.servers.heavy import HeavyWork
from gateway.servers.http_call import Call, Reply
from gateway.servers.remembered import remembered
from gateway.servers.statuses import describe_target
from gateway.servers.torchserve_calls import TorchServeCalls
from gateway.servers.torchserve_openapi import model_api
from gateway.servers.torchserve_problems import NoSuchResource, UnknownVersion, WrongMethod

__all__ = ["TorchServeRest", "torchserve_routes"]

_NEVER_KEPT = {
    "pragma": "no-cache",
    "cache-control": "no-cache; no-store, must-revalidate, private",
    "expires": "Thu, 01 Jan 1970 00:00:00 UTC",
}
_HEADERS = [(name.encode(), value.encode()) for name, value in _NEVER_KEPT.items()]


@dataclass(frozen=True, slots=True)
class _Path:
    verb: str
    target: Target


@remembered
def _match(path: str) -> _Path | None:
    verb, *names = path.strip("/").split("/")
    if not 1 <= len(names) <= 2 or not all(names):  # noqa: PLR2004 - the model, and perhaps a version
        return None
    model, version = (*map(unquote, names), None)[:2]
    assert model is not None, "the first of at least one"
    return _Path(verb, Target(model=model, version=version))


class TorchServeRest:
    """The endpoint of /predictions, /explanations and every path under them."""

    def __init__(self, desk: Desk, heavy: HeavyWork) -> None:
        self._pipeline: Pipeline = desk.pipeline
        self._calls = TorchServeCalls(desk, heavy)

    def target_of(self, method: str, path: str) -> Target | None:
        """The model that a path names, None if it names none."""
        del method
        found = _match(path)
        return None if found is None else found.target

    async def __call__(self, exchange: Exchange, call: Call) -> Reply:
        """Answer one call."""
        path = _match(call.path)
        if path is None:
            raise NoSuchResource("Requested resource is not found, please refer to API document.")
        exchange.target = path.target
        if call.method not in ("POST", "PUT", "OPTIONS"):
            raise WrongMethod("Requested method is not allowed, please refer to API document.")
        if path.verb == "explanations":
            raise Unsupported("explanations are not spoken here; ask the TorchServe behind, if any")
        if call.method == "OPTIONS":
            return Reply(200, self._describe(path.target), headers=_HEADERS)
        body = await self._calls.answer_body(exchange, call.headers, path.target, call.body)
        return Reply(200, body, headers=_HEADERS)

    def _describe(self, target: Target) -> bytes:
        table = self._pipeline.table
        try:
            description = describe_target(table, target)
        except UnknownModel as error:
            if target.model in table.models:
                raise UnknownVersion(error.message) from error
            raise
        return orjson.dumps(model_api(description), option=orjson.OPT_INDENT_2)


def torchserve_routes(pipeline: Pipeline) -> APIRouter:
    """Health and the API's description."""
    router = APIRouter(tags=["TorchServe"])

    @router.get("/ping", summary="Whether requests are accepted, as TorchServe tells")
    async def ping() -> Response:
        healthy = pipeline.is_ready
        return Response(
            health_text(healthy=healthy),
            200 if healthy else 500,
            headers=_NEVER_KEPT,
            media_type="application/json",
        )

    # TorchServe does not look at the method.
    others = ["HEAD", "POST", "PUT", "PATCH", "DELETE"]
    router.add_api_route("/ping", ping, methods=others, include_in_schema=False)

    @router.get("/api-description", summary="This description, where TorchServe has it")
    async def description(request: Request) -> dict[str, Any]:
        told: dict[str, Any] = request.app.openapi()
        return told

    router.add_api_route("/", description, methods=["OPTIONS"], include_in_schema=False)
    return router
