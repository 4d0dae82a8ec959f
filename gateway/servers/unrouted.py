"""What is said to those who ask for what is not served: a path over HTTP, a method over gRPC?

Whatever no other route or service takes ends here, so nothing here costs a request that is served.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from gateway.errors import Unsupported
from gateway.servers.grpc_calls import Refusal
from gateway.servers.oip_rest import is_infer

__all__ = ["UnknownMethods", "add_unrouted"]

_MAX_SHOWN = 256


def add_unrouted(api: FastAPI) -> None:
    """Answer unknown paths and methods with `{"error": …}`, which names what is served there."""

    async def unrouted(request: Request, error: Exception) -> JSONResponse:
        path, headers = request.url.path, getattr(error, "headers", None) or {}
        if path.startswith("/v2"):
            if request.method != "POST" and is_infer(path):  # which is no route of FastAPI's
                headers = {"Allow": "POST"}
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


class UnknownMethods:
    """Refuses and counts every call of a method that no service has."""

    def __init__(self, services: Collection[str], count: Callable[[str], None]) -> None:
        self._served = ", ".join(sorted(services))
        self._count = count

    def __call__(self, path: str) -> Refusal:
        """What the call is told; none of its messages is read."""
        self._count(Unsupported.reason)
        text = f"{path[:_MAX_SHOWN]} is not served here, but methods of: {self._served}"
        return Refusal("UNIMPLEMENTED", text)
