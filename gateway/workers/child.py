"""What does a worker's process do? `python -m gateway.workers.child`, with its orders on standard input.

It serves as a gateway does, and drains at SIGTERM as one; when its supervisor dies, the kernel sends it that.
"""

from __future__ import annotations

import asyncio
import ctypes
import dataclasses
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import uvloop

from gateway.app import Gateway, calm_collector
from gateway.background import BackgroundTasks
from gateway.config import Config
from gateway.control.source import ConfigError, ConfigFile, ListenOverrides, parse
from gateway.http1.listen import ListenError
from gateway.memory import keep_freed
from gateway.servers.oip_told import statistics_here
from gateway.servers.siblings import Siblings
from gateway.telemetry.logs import json_logging
from gateway.workers.front import WorkerFront
from gateway.workers.leases import Bells, FileLocks, Leases
from gateway.workers.office import Office, told_routes
from gateway.workers.orders import BEAT, BEAT_S, LEAVING, UP, Orders
from gateway.workers.told import families_of

__all__ = ["main"]

_PR_SET_PDEATHSIG: Final = 1


def main() -> int:
    """Serve until told to end; the exit status."""
    orders = Orders.read(sys.stdin.buffer.read())
    if not _dies_with(orders.supervisor):
        return 1
    keep_freed()
    try:
        return uvloop.run(_serve(orders))
    except (ConfigError, ListenError) as error:
        sys.stderr.write(f"worker {orders.number}: {error}\n")
        return 1


class _Given(ListenOverrides):
    """Where all workers listen: checked already, and not all of it what a file may say."""

    def apply(self, config: Config) -> Config:
        """The same configuration, with these addresses."""
        given = dataclasses.asdict(self)
        return dataclasses.replace(config, listen=dataclasses.replace(config.listen, **given))


async def _serve(orders: Orders) -> int:
    asked = _stop_told()
    calm_collector()
    given = _Given(rest=orders.rest, grpc=orders.grpc, admin=orders.admin)
    file = ConfigFile(Path(orders.file), given)
    config, wrong = _loaded(file, orders.good, given)
    leases = Leases(FileLocks(orders.locks), Bells(orders.bells), orders.number)
    leases.begin()
    os.set_blocking(sys.stdout.fileno(), False)
    async with Office(orders.office) as office, BackgroundTasks() as group:
        gateway = _gateway(file, config, orders.line, office, leases=leases)
        dropped = gateway.metrics.log_lines_dropped.inc
        with json_logging(config.log.level, dropped, fields={"worker": orders.number}):
            if wrong is not None:
                gateway.refuse(wrong)
            async with gateway:
                _say(UP)
                group.create_task(_beat())  # until the drain is over
                await asked.wait()
                _say(LEAVING)
    return 0


def _stop_told() -> asyncio.Event:
    """An event that SIGTERM or SIGINT sets.

    A second one is no hurry, other than for a gateway alone: systemd signals all processes of a unit, and then
    the supervisor does again. Whoever insists tells the supervisor, which kills.
    """
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    return told


def _loaded(
    file: ConfigFile, good: str, given: ListenOverrides
) -> tuple[Config, ConfigError | None]:
    """What the file says; where it is wrong, what it said when it last was right, and what is wrong."""
    try:
        return file.load(), None
    except ConfigError as error:
        return given.apply(parse(good, str(file.path))), error


def _gateway(
    file: ConfigFile, config: Config, line: int, office: Office, *, leases: Leases
) -> Gateway:
    front = WorkerFront(socket.socket(fileno=line))
    siblings = Siblings(
        statistics=office.statistics,
        routes=told_routes(
            lambda: families_of(gateway.metrics.registry),
            lambda: statistics_here(gateway.pipeline, "", None, time.monotonic),
        ),
        lease_of=leases.of,
    )
    gateway = Gateway(file, config, front, siblings=siblings)
    return gateway


async def _beat() -> None:
    """Say that the event loop turns, for as long as it does."""
    while True:
        _say(BEAT)
        await asyncio.sleep(BEAT_S)


def _say(what: bytes) -> None:
    # Nobody hears it any more, or not now: no reason not to serve, or not to drain.
    with suppress(BrokenPipeError, BlockingIOError):
        os.write(sys.stdout.fileno(), what)


def _dies_with(supervisor: int) -> bool:
    """Tie our life to the supervisor's; False if it is over already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    return os.getppid() == supervisor


if __name__ == "__main__":
    sys.exit(main())
