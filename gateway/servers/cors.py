"""May a page from another origin call us? As TF Serving answers browsers.

Two things, as there: a preflight under /v1/ is answered in any case; the headers that let a browser read
answers are added, to every answer under /v1/, only where the setting `rest.cors` asks for it.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any

from gateway.servers.body import Send

__all__ = ["preflight_status", "with_cors"]

_HEADERS = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"POST, GET"),
    (b"access-control-allow-headers", b"Content-Type"),
]


def preflight_status(origin: str | None) -> int:
    """The status of the answer to OPTIONS, which has no body: 200 to the origin of a web page, else 400."""
    # Anywhere in it, as TF Serving looks.
    is_web = origin is not None and ("http://" in origin or "https://" in origin)
    return 200 if is_web else 400


def with_cors(scope: Mapping[str, Any], send: Send) -> tuple[Mapping[str, Any], Send]:
    """The scope and the channel of a request whose answer gets the headers."""

    async def send_with_headers(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *_HEADERS]
        await send(message)

    # Without our server's own extensions, an answer has headers to add to.
    return {**scope, "extensions": {}}, send_with_headers
