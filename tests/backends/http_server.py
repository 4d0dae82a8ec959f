"""An HTTP server in this process, whose answers a test writes; over TCP, TLS or a Unix socket."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from aiohttp import web

from gateway.backend_config import BackendTlsConfig

__all__ = ["Answer", "Certificates", "certificates", "fixed", "serving_http"]

Answer: TypeAlias = Callable[[web.Request], Awaitable[web.Response]]


@asynccontextmanager
async def serving_http(
    answers: Mapping[str, Answer], *, unix: Path | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """A running server with these `METHOD /path` routes; gives its address."""
    app = web.Application(client_max_size=2**26)
    for route, answer in answers.items():
        method, path = route.split(" ")
        app.router.add_route(method, path, answer)
    runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=0.01)
    await runner.setup()
    if unix is None:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        address = f"127.0.0.1:{runner.addresses[0][1]}"
    else:
        await web.UnixSite(runner, str(unix), ssl_context=tls).start()
        address = f"unix:{unix}"
    try:
        yield address
    finally:
        await runner.cleanup()


def fixed(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """The same answer to everybody."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=body, status=status, headers=headers)

    return answer


@dataclass(frozen=True)
class Certificates:
    """PEM files: an authority, and what it signed for `server.test` and for a client."""

    ca: Path
    server: Path
    server_key: Path
    client: Path
    client_key: Path

    def served(self) -> ssl.SSLContext:
        """What `server.test` listens with."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.server, self.server_key)
        return context

    def trusted(self) -> BackendTlsConfig:
        """The settings that know `server.test` by its certificate."""
        return BackendTlsConfig(ca_file=str(self.ca), server_name="server.test")

    def introduced(self) -> BackendTlsConfig:
        """As `trusted`, with a certificate of the client's own."""
        return replace(self.trusted(), cert_file=str(self.client), key_file=str(self.client_key))


def certificates(folder: Path) -> Certificates:
    """Made here and now, by openssl."""
    names = {part: folder / f"{part}.pem" for part in ("ca", "server", "client")}
    keys = {part: folder / f"{part}.key" for part in names}
    new = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    for part, certificate in names.items():
        argv = [*new, "-keyout", str(keys[part]), "-out", str(certificate)]
        argv += ["-subj", f"/CN={part}.test"]
        if part != "ca":
            argv += ["-CA", str(names["ca"]), "-CAkey", str(keys["ca"])]
            argv += ["-addext", f"subjectAltName=DNS:{part}.test"]
            argv += ["-addext", "basicConstraints=critical,CA:FALSE"]
        subprocess.run(argv, check=True, capture_output=True)
    return Certificates(
        names["ca"], names["server"], keys["server"], names["client"], keys["client"]
    )
