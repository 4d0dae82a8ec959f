"""The yardsticks: servers that read a body and send it back, on what the gateway's own servers are made of.

    python -m loadtests.bench_wire.echo REST_PORT GRPC_PORT

They keep the memory that large bodies free, as the gateway does: else half of what an echo of 600 KB costs
is the kernel's, which maps and clears the same pages for each.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import grpc
import uvloop

from gateway.memory import keep_freed
from loadtests.bench_wire.backend import OPTIONS, SERVICE, read_all, serve_http


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the body."""
    body = await read_all(scope, receive)
    headers = [
        (b"content-type", b"application/octet-stream"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def echo_message(data: bytes, _: object) -> bytes:
    """Answer with the message."""
    return data


async def serve(rest: int, grpc_port: int) -> None:
    """Serve both until the process is ended."""
    server = grpc.aio.server(options=OPTIONS)
    method: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(echo_message)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(SERVICE, {"ModelInfer": method}),)
    )
    server.add_insecure_port(f"127.0.0.1:{grpc_port}")
    await server.start()
    await serve_http(echo, f"127.0.0.1:{rest}")


if __name__ == "__main__":
    keep_freed()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(int(sys.argv[1]), int(sys.argv[2])))
