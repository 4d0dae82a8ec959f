"""Who is wired to whom? The composition root: a configuration file becomes a running gateway.

Everything that lives is entered into one `AsyncExitStack` or one `TaskGroup`, in the order it is needed,
and leaves in the reverse order. The drain is written out in `Gateway.drain`, step by step.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import logging
import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

from prometheus_client import CollectorRegistry

from gateway import __version__
from gateway.backends.make import make_backend
from gateway.background import BackgroundTasks
from gateway.config import Config
from gateway.control.addresses import ListenOverrides
from gateway.control.admin import ConfigState, admin_api
from gateway.control.lanes import Lanes
from gateway.control.reconcile import Reconciler
from gateway.control.reload import Reloads
from gateway.control.source import ConfigError, ConfigFile
from gateway.http1.listen import HttpServer, listen_http
from gateway.http1.protocol import Manners
from gateway.lifecycle import Lifecycle, State
from gateway.pipeline import Pipeline
from gateway.servers.docs import add_docs
from gateway.servers.exchange import Desk
from gateway.servers.fronts import Doors, Front, OwnFront
from gateway.servers.grpc import GrpcApi
from gateway.servers.heavy import HeavyWork
from gateway.servers.rest_api import rest_api
from gateway.servers.siblings import Siblings
from gateway.servers.unrouted import add_unrouted
from gateway.stopping import stop_asked
from gateway.telemetry.logs import RequestLog, json_logging
from gateway.telemetry.metrics import Metrics

__all__ = ["Gateway", "calm_collector", "make_backend", "run_gateway"]

_log = logging.getLogger("tandem")

CONFIG_POLL_S: Final = 0.5


class Gateway:
    """A running gateway: `async with Gateway(file, config) as gateway:` serves until the block ends.

    Attributes:
        addresses: `rest`, `grpc` and `admin` as `host:port`, with the ports really taken.
    """

    def __init__(
        self,
        file: ConfigFile,
        config: Config,
        front: Front | None = None,
        *,
        siblings: Siblings | None = None,
    ) -> None:
        self._file = file
        self._siblings = siblings
        self._front = front or OwnFront()
        self.lifecycle = Lifecycle()
        self.metrics = Metrics(CollectorRegistry(), version=__version__)
        self.addresses: dict[str, str] = {}
        self._state = ConfigState(path=str(file.path), config=config, loaded_at="")
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Start everything; when this returns, the gateway accepts requests."""
        try:
            await self._start(self._state.config)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Drain if that was not done, and close everything in reverse order."""
        try:
            await self.drain()
        finally:
            await self._stack.aclose()

    async def _start(self, config: Config) -> None:
        self._group = group = await self._stack.enter_async_context(BackgroundTasks())
        self.pipeline = Pipeline(
            self.lifecycle,
            self.metrics,
            max_requests_in_flight=config.limits.max_requests_in_flight,
        )
        siblings = self._siblings
        self._lanes = Lanes(group, self.metrics, siblings.lease_of if siblings else None)
        self._reconciler = Reconciler(
            group,
            self.pipeline,
            self._lanes,
            metrics=self.metrics,
            make_backend=functools.partial(make_backend, metrics=self.metrics.replicas),
        )
        self._stack.push_async_callback(self._reconciler.aclose)
        await self._apply(config)
        self._desk = Desk(
            self.pipeline,
            self.metrics,
            RequestLog(config.log.success_sample_ratio, time.monotonic),
            limits=config.limits,
            clock=time.monotonic,
        )
        if siblings is not None:
            self._desk.everywhere = siblings.statistics
        self._heavy = HeavyWork(self.metrics, max_queued=config.limits.max_heavy_queued)
        self._stack.callback(self._heavy.close)
        await self._listen(config)
        group.create_task(self._reconciler.run())
        group.create_task(self._follow_file())
        self.lifecycle.move_to(State.READY)
        ready = "the gateway is ready" if self._siblings is None else "the worker is ready"
        _log.info(ready, extra={"fields": dict(self.addresses)})

    async def _listen(self, config: Config) -> None:
        patience_s = config.limits.default_timeout_s
        self._admin = self._listen_admin(config.listen.admin, Manners(patience_s))
        api, shortcut = rest_api(self._desk, self._heavy, has_cors=config.rest.cors)
        add_docs(api)
        add_unrouted(api)
        reloads, reflects = Reloads(self._reconciler), config.listen.grpc_reflection
        self._grpc_api = GrpcApi(self._desk, self._heavy, reloads, reflection=reflects)
        doors = Doors(
            rest=api,
            shortcut=shortcut,
            grpc=self._grpc_api,
            manners=Manners(patience_s, self._desk.count_unreadable),
            listen=config.listen,
            limits=config.limits,
            spawn=self._group.create_task,
        )
        self.addresses.update(await self._front.open(doors))

    def _listen_admin(self, address: str, manners: Manners) -> HttpServer:
        app = admin_api(self.pipeline, self.metrics.registry, lambda: self._state)
        if self._siblings is not None:
            app.include_router(self._siblings.routes)
        add_docs(app)
        add_unrouted(app)
        grace_s = self._state.config.limits.drain_timeout_s
        server, self.addresses["admin"] = listen_http(
            app, address, manners, setting="listen.admin", grace_s=grace_s
        )
        self._group.create_task(server.serve_until_stopped())
        return server

    async def _apply(self, config: Config) -> None:
        await self._reconciler.apply(config)
        self._state.config = config
        self._state.loaded_at = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._state.last_error = ""
        self.metrics.config_ok.set(1)

    async def _follow_file(self) -> None:
        async for change in self._file.changes(CONFIG_POLL_S):
            if isinstance(change, ConfigError):
                self.refuse(change)
                continue
            self._warn_of_restart(change)
            await self._apply(change)
            self.metrics.config_reloads.labels("applied").inc()
            _log.info("configuration applied", extra={"fields": {"path": self._state.path}})

    def refuse(self, error: ConfigError) -> None:
        """Note that the newest file cannot be used; what is in force stays so."""
        self._state.last_error = str(error)
        self.metrics.config_ok.set(0)
        self.metrics.config_reloads.labels("refused").inc()
        fields = {"path": self._state.path, "error": str(error)}
        _log.error("configuration refused; the one before stays in force", extra={"fields": fields})

    def _warn_of_restart(self, config: Config) -> None:
        before = self._state.config
        for name in ("listen", "rest", "limits", "log"):
            if getattr(config, name) != getattr(before, name):
                fields = {"setting": name}
                _log.warning("a change that needs a restart", extra={"fields": fields})

    async def drain(self) -> None:
        """Stop taking requests, and answer all that were accepted, within `limits.drain_timeout_s`.

        Safe to call twice. In order: readiness fails; a pause for load balancers to notice, in which
        requests are still served; mirrors are dropped; listeners close, and answer what they have; lanes
        empty. The admin listener stays until the end, so that the drain can be watched.
        """
        if self.lifecycle.state is not State.READY:
            return
        self.lifecycle.move_to(State.LEAVING)
        limits = self._state.config.limits
        await asyncio.sleep(limits.drain_notice_s)
        self._lanes.close_mirrors()
        try:
            async with asyncio.timeout(limits.drain_timeout_s):
                await self._stop_serving()
        except TimeoutError:
            fields = {"in_flight": self.pipeline.in_flight, "seconds": limits.drain_timeout_s}
            _log.error("gave up on requests that did not end in time", extra={"fields": fields})
        self.lifecycle.move_to(State.STOPPED)
        _log.info("the gateway has stopped")

    async def _stop_serving(self) -> None:
        self._grpc_api.end_streams()
        await self._front.close()
        self.lifecycle.move_to(State.DRAINING)
        await self._lanes.drain()
        await self._admin.stop()


async def run_gateway(
    path: Path, *, rest: str | None = None, grpc: str | None = None, admin: str | None = None
) -> int:
    """Run a gateway until SIGTERM or SIGINT, then drain it; a second signal ends it at once.

    The addresses replace those of the file. Returns the process's exit code.

    Raises:
        ConfigError: the file cannot be read, or something in it is wrong.
        ListenError: an address is taken.
    """
    file = ConfigFile(path, ListenOverrides(rest=rest, grpc=grpc, admin=admin))
    config = file.load()
    gateway = Gateway(file, config)
    asked = stop_asked()
    calm_collector()
    with json_logging(config.log.level, gateway.metrics.log_lines_dropped.inc):
        try:
            async with gateway:
                await asked.wait()
        except asyncio.CancelledError:
            _log.error("stopped at once, at a second signal")
            return 1
    return 0


def calm_collector() -> None:
    """Collect cycles less often, and never walk what was imported: a tenth of the path went there."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 50)
