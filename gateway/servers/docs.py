"""How is an API's description shown where there is no internet?

FastAPI's own page loads its scripts from a public network. Here they come from the package
`fastapi-offline`, so that /docs works on a closed one.
"""

from __future__ import annotations

from importlib.resources import files

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

__all__ = ["add_docs"]

_STATIC = "/docs/static"


def add_docs(api: FastAPI) -> None:
    """Serve /docs for an API that was made with `docs_url=None`."""
    folder = str(files("fastapi_offline") / "static")
    page = get_swagger_ui_html(
        openapi_url=api.openapi_url or "/openapi.json",
        title=api.title,
        swagger_js_url=f"{_STATIC}/swagger-ui-bundle.js",
        swagger_css_url=f"{_STATIC}/swagger-ui.css",
        swagger_favicon_url=f"{_STATIC}/favicon.png",
    )

    async def docs() -> HTMLResponse:
        return page

    api.add_api_route("/docs", docs, include_in_schema=False)
    api.mount(_STATIC, StaticFiles(directory=folder))
