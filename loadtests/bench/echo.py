"""The yardstick: a bare ASGI application on uvicorn that reads a body and sends it back."""

from __future__ import annotations

import sys
from typing import Any

import uvicorn


async def echo(_: Any, receive: Any, send: Any) -> None:
    """Answer with the body."""
    body = (await receive())["body"]
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


if __name__ == "__main__":
    uvicorn.run(
        echo,
        port=int(sys.argv[1]),
        http="httptools",
        loop="uvloop",
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="error",
    )
