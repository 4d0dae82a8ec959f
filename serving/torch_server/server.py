"""Which parts make the server, how does it start, and how does it end?

On SIGTERM or SIGINT it drains: not ready any more, then no new connections, then what is in flight is
finished, then the workers stop, and the exit status is 0. A second signal ends it at once, with status 1.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
from collections.abc import Iterable
from pathlib import Path

import grpc
import uvloop
from prometheus_client import disable_created_metrics

from gateway.http1.listen import HttpServer, ListenError, listening_socket
from gateway.http1.protocol import Manners
from serving.torch_server.fleet import Fleet
from serving.torch_server.grpc import make_grpc_server
from serving.torch_server.infer import InferRoutes
from serving.torch_server.inference import Inference
from serving.torch_server.logs import log
from serving.torch_server.metrics import Metrics
from serving.torch_server.rest import make_rest_app
from serving.torch_server.scratch import scratch_folder
from serving.torch_server.settings import Address, Settings

__all__ = ["CannotListen", "run"]


class CannotListen(Exception):
    """An address is taken or is not ours."""


def run(settings: Settings) -> int:
    """Serve until a signal; the exit status.

    Raises:
        CannotListen: says which address, and why.
    """
    # They would be a second series for each counter, which nobody asks for.
    disable_created_metrics()  # type: ignore[no-untyped-call]  # the library's
    with scratch_folder() as scratch, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(_serve(settings, scratch))
        except asyncio.CancelledError:
            log("stopped", level="error", reason="a second signal came before the drain was over")
            return 1
    log("stopped")
    return 0


async def _serve(settings: Settings, scratch: Path) -> None:
    stop = _catch_signals()
    metrics = Metrics()
    fleet = Fleet(settings, metrics, scratch)
    inference = Inference(fleet, metrics)
    listening = _listen((str(settings.rest), *(f"unix:{path}" for path in settings.unix)))
    servers = _rest_servers([each for each, _ in listening], inference, metrics, settings)
    grpc_server = make_grpc_server(inference, settings)
    grpc_port = _bind(grpc_server, settings.grpc)
    async with asyncio.TaskGroup() as group:
        group.create_task(fleet.run())
        serving = [group.create_task(server.serve_until_stopped()) for server in servers]
        await grpc_server.start()
        gc.freeze()  # what was imported stays; nobody has to look through it for garbage
        log(
            "listening",
            rest=listening[0][1],
            grpc=str(Address(settings.grpc.host, grpc_port)),
            unix=[str(path) for path in settings.unix],
        )
        try:
            await stop.wait()
            log("draining")
            inference.is_draining = True
            await asyncio.sleep(settings.drain_notice_s)
            async with asyncio.TaskGroup() as stopping:
                stopping.create_task(grpc_server.stop(settings.drain_timeout_s))
                for server in servers:
                    stopping.create_task(server.stop())
            await asyncio.gather(*serving)
        finally:
            await grpc_server.stop(None)
        fleet.close()


def _rest_servers(
    listening: Iterable[socket.socket],
    inference: Inference,
    metrics: Metrics,
    settings: Settings,
) -> list[HttpServer]:
    infer = InferRoutes(inference, settings)
    app = make_rest_app(inference, infer, metrics)
    manners = Manners(
        read_timeout_s=settings.default_timeout_s,
        on_refusal=lambda reason: metrics.count_request("", "", reason),
    )
    grace_s = settings.drain_timeout_s
    return [HttpServer(app, each, manners, grace_s=grace_s, shortcut=infer) for each in listening]


def _catch_signals() -> asyncio.Event:
    """An event for the first signal; the second one cancels the task that is running now."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    main_task = asyncio.current_task()

    def on_signal() -> None:
        if not stop.is_set():
            stop.set()
        elif main_task is not None:
            main_task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    return stop


def _listen(addresses: Iterable[str]) -> list[tuple[socket.socket, str]]:
    """What listens for REST, and the addresses they really have.

    Raises:
        CannotListen: one of them is taken or is not ours.
    """
    try:
        return [listening_socket(address, setting="REST") for address in addresses]
    except ListenError as exc:
        raise CannotListen(str(exc)) from exc


def _bind(server: grpc.aio.Server, address: Address) -> int:
    try:
        return server.add_insecure_port(str(address))
    except RuntimeError as exc:
        raise CannotListen(f"{address}: {exc}") from exc
