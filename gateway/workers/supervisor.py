"""Who is wired to whom, where several gateway processes serve as one?

The supervisor serves no request. It holds the addresses, keeps the workers running, and answers for all of
them on the admin listener. Everything that lives ends with one `AsyncExitStack`, as in `gateway.app`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final, Self

from prometheus_client import CollectorRegistry
from prometheus_client.process_collector import ProcessCollector

from gateway.background import BackgroundTasks
from gateway.config import Config
from gateway.control.source import ConfigError, ConfigFile, ListenOverrides
from gateway.http1.listen import HttpServer, ListenError, listen_http, listening_socket
from gateway.http1.protocol import Manners
from gateway.servers.docs import add_docs
from gateway.servers.unrouted import add_unrouted
from gateway.stopping import stop_asked
from gateway.telemetry.logs import json_logging
from gateway.telemetry.workers import WorkerMetrics
from gateway.workers.admin import supervisor_api
from gateway.workers.asking import Workers
from gateway.workers.crew import Crew
from gateway.workers.handing import Line, Reception
from gateway.workers.leases import Bells
from gateway.workers.ledger import Ledger
from gateway.workers.orders import Orders
from gateway.workers.ports import kept_port

__all__ = ["Supervisor", "WorkersFailed", "run_workers"]

_log = logging.getLogger("tandem.workers")

LEARN_EVERY_S: Final = 1.0
CONFIG_POLL_S: Final = 0.5
_MARGIN_S: Final = 5.0


class WorkersFailed(Exception):
    """A worker did not start, or failed too often in a row."""


class Supervisor:
    """`async with Supervisor(file, config, 4, stopping) as supervisor:` has 4 workers until the block ends.

    Attributes:
        addresses: `rest`, `grpc` and `admin` as `host:port`, with the ports really taken.
        metrics: Its own.
        count: Workers that there should be.
        is_leaving: Whether it drains.
        failure: Why it gave up; "" while it has not. `stopping` is set then.
    """

    def __init__(
        self, file: ConfigFile, config: Config, count: int, stopping: asyncio.Event
    ) -> None:
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.addresses: dict[str, str] = {}
        self.metrics = WorkerMetrics(registry, count)
        self.count = count
        self.is_leaving = False
        self.failure = ""
        self._registry = registry
        self._stopping = stopping
        self._file, self._good = file, file.text
        self._config = config
        self._ledger = Ledger()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Take the addresses and start the workers; they come up while the block runs."""
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def drain(self) -> bool:
        """Have every worker answer what it has accepted, and end. Whether all did.

        They drain by themselves, each as a gateway does; connections are handed to them until they listen
        no more either. The admin listener stays until they have ended.
        """
        self.is_leaving = True
        limits = self._config.limits
        self._crew.tell()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._close_reception(limits.drain_notice_s))
            grace_s = limits.drain_notice_s + limits.drain_timeout_s + _MARGIN_S
            ended = group.create_task(self._crew.end(grace_s))
        await self._admin.stop()
        return ended.result()

    # What becomes of the workers: a `Watcher`.

    def came_up(self, number: int) -> None:
        """It is handed connections from now on."""
        self._lines[number].is_open = True
        self._note(number, "a worker is up")

    def leaves(self, number: int) -> None:
        """It drains; where it was not us who told it, the others get what comes."""
        if not self.is_leaving:
            self._lines[number].end()
            self._note(number, "a worker leaves by itself")

    def ended(self, number: int) -> None:
        """What it had counted is kept, and what it had not read goes to the others."""
        self._ledger.bury(number)
        self._lines[number].is_open = False
        self._reception.rehand(self._lines[number])
        self._bells.ring_all()  # it may have had a slot, or have been called to take one
        self.metrics.up.set(len(self._crew.up))

    def hangs(self, number: int) -> None:
        """It is counted; then it ends, and is started again."""
        self.metrics.hangs.labels(str(number)).inc()

    def starts_again(self, number: int) -> None:
        """It is counted."""
        self.metrics.restarts.labels(str(number)).inc()

    def gave_up(self, number: int, why: str) -> None:
        """Without it there would be less than was asked for: everything ends."""
        self.failure = self.failure or why
        self._note(number, why)
        self._stopping.set()

    def _note(self, number: int, event: str) -> None:
        self.metrics.up.set(len(self._crew.up))
        fields = {"worker": number, "pid": self._crew.pid(number)}
        _log.info(event, extra={"fields": fields})

    # The parts.

    async def _start(self) -> None:
        folder = Path(self._stack.enter_context(_private_folder()))
        self._paths = [f"{folder}/{number}.sock" for number in range(self.count)]
        self._office = f"{folder}/office.sock"
        self._open_lines()
        self._bells = Bells.made(self.count)
        self._stack.callback(self._bells.close)
        self._locks = os.memfd_create("tandem slots")
        self._stack.callback(os.close, self._locks)
        lines = [line.far.fileno() for line in self._lines]
        inherited = [*lines, *self._bells.descriptors, self._locks]
        self._crew = Crew(self._orders, inherited, self)
        self._stack.callback(self._crew.kill)
        asked = Workers(self._crew, self._ledger, self._paths)
        workers = await self._stack.enter_async_context(asked)
        group = await self._stack.enter_async_context(BackgroundTasks())
        self._serve_admin(group, workers)
        for number in range(self.count):
            group.create_task(self._crew.keep(number))
        group.create_task(self._learn(workers))
        group.create_task(self._follow_file())
        group.create_task(self._announce())

    def _open_lines(self) -> None:
        listen = self._config.listen
        listening, self.addresses["rest"] = listening_socket(listen.rest, setting="listen.rest")
        self._stack.callback(listening.close)
        self.addresses["grpc"] = self._stack.enter_context(
            kept_port(listen.grpc, setting="listen.grpc")
        )
        self._lines = [Line() for _ in range(self.count)]
        for line in self._lines:
            self._stack.callback(line.close)
        handed = [self.metrics.connections.labels(str(n)) for n in range(self.count)]
        self._reception = Reception(listening, self._lines, lambda number: handed[number].inc())
        self._reception.begin()

    def _serve_admin(self, group: BackgroundTasks, workers: Workers) -> None:
        api = supervisor_api(workers, self._ledger, self._registry, self)
        add_docs(api)
        add_unrouted(api)
        manners = Manners(self._config.limits.default_timeout_s)

        def listen(address: str) -> tuple[HttpServer, str]:
            server, found = listen_http(
                api, address, manners, setting="listen.admin", grace_s=_MARGIN_S
            )
            group.create_task(server.serve_until_stopped())
            return server, found

        self._admin, self.addresses["admin"] = listen(self._config.listen.admin)
        listen(f"unix:{self._office}")

    def _orders(self, number: int) -> Orders:
        return Orders(
            number=number,
            supervisor=os.getpid(),
            file=str(self._file.path),
            good=self._good,
            rest=self.addresses["rest"],
            grpc=self.addresses["grpc"],
            admin=f"unix:{self._paths[number]}",
            office=self._office,
            line=self._lines[number].far.fileno(),
            locks=self._locks,
            bells=tuple(self._bells.descriptors),
        )

    async def _announce(self) -> None:
        await self._crew.until_up(self.count)
        fields = {**self.addresses, "workers": self.count}
        _log.info("the gateway is ready", extra={"fields": fields})

    async def _learn(self, workers: Workers) -> None:
        """Know all the time what each worker has counted, because it may die without a word."""
        while True:
            await asyncio.sleep(LEARN_EVERY_S)
            await workers.learn()

    async def _follow_file(self) -> None:
        """Keep what the file last said that could be used; each worker reads it by itself."""
        async for change in self._file.changes(CONFIG_POLL_S):
            if not isinstance(change, ConfigError):
                # A worker drains by its newest limits, and is waited for as long.
                self._good, self._config = self._file.text, change

    async def _close_reception(self, notice_s: float) -> None:
        await asyncio.sleep(notice_s)
        self._reception.close()


def _private_folder() -> tempfile.TemporaryDirectory[str]:
    try:
        return tempfile.TemporaryDirectory(prefix="tandem-")
    except OSError as exc:
        raise ListenError(f"workers need a folder for their sockets (TMPDIR): {exc}") from exc


async def run_workers(path: Path, listen: ListenOverrides, count: int) -> int:
    """Run `count` workers until SIGTERM or SIGINT, then drain them; a second signal ends them at once.

    Returns the process's exit code.

    Raises:
        ConfigError: the file cannot be read, or something in it is wrong.
        ListenError: an address is taken.
        WorkersFailed: a worker did not start, or failed too often in a row.
    """
    file = ConfigFile(path, listen)
    config = file.load()
    stopping = stop_asked()
    supervisor = Supervisor(file, config, count, stopping)
    with json_logging(config.log.level, supervisor.metrics.log_lines_dropped.inc):
        try:
            async with supervisor:
                await stopping.wait()
                went_well = await supervisor.drain()
        except asyncio.CancelledError:
            _log.error("stopped at once, at a second signal")
            return 1
    if supervisor.failure:
        raise WorkersFailed(supervisor.failure)
    return 0 if went_well else 1
