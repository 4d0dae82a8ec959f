"""What is said to those who ask for what is not served: a path over HTTP, a method over gRPC?

Whatever no other route or service takes ends here, so nothing here costs a request that is served.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from typing import Any

import grpc
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from gateway.errors import Unsupported

__all__ = ["UnknownMethods", "add_unrouted"]

_MAX_SHOWN = 256


def add_unrouted(api: FastAPI) -> None:
    """Answer unknown paths and methods with `{"error": …}`, which names what is served there."""

    async def unrouted(request: Request, error: Exception) -> JSONResponse:
        path, headers = request.url.path, getattr(error, "headers", None) or {}
        if path.startswith("/v2"):
            # Triton's clients get no more than the words of HTTP.
            text = "Method Not Allowed" if headers else "Not Found"
            return JSONResponse({"error": text}, 405 if headers else 404, headers)
        asked = f"{request.method} {path[:_MAX_SHOWN]}"
        if allowed := headers.get("Allow"):
            text = f"{asked}: Method Not Allowed, this path takes {allowed}"
            return JSONResponse({"error": text}, 405, headers)
        served = ", ".join(sorted({*api.openapi()["paths"], "/docs"}))
        return JSONResponse({"error": f"{asked}: Not Found, served here: {served}"}, 404)

    for status in (404, 405):
        api.add_exception_handler(status, unrouted)


class UnknownMethods(grpc.GenericRpcHandler):
    """Refuses and counts every call of a method that no service before it has."""

    def __init__(self, services: Collection[str], count: Callable[[str], None]) -> None:
        self._served = ", ".join(sorted(services))
        self._count = count

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[Any, Any]:
        """A method of any form: none of its messages is read."""
        refuse = functools.partial(self._refuse, str(handler_call_details.method))
        return grpc.stream_stream_rpc_method_handler(refuse)

    async def _refuse(self, method: str, _: object, context: Any) -> None:
        self._count(Unsupported.reason)
        text = f"{method[:_MAX_SHOWN]} is not served here, but methods of: {self._served}"
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, text)
