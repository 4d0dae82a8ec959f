"""Which parts make the server, how does it start, and how does it end?

On SIGTERM or SIGINT it drains: not ready any more, then no new connections, then what is in flight is
finished, then the workers stop, and the exit status is 0. A second signal ends it at once, with status 1.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import grpc
import uvicorn
import uvloop
from prometheus_client import disable_created_metrics

from serving.torch_server.fleet import Fleet
from serving.torch_server.grpc import make_grpc_server
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
    with _listen(settings.rest) as listener:
        rest = _RestServer(make_rest_app(inference, metrics, settings), settings)
        grpc_server = make_grpc_server(inference, settings)
        grpc_port = _bind(grpc_server, settings.grpc)
        async with asyncio.TaskGroup() as group:
            group.create_task(fleet.run())
            serving = group.create_task(rest.serve(sockets=[listener]))
            await grpc_server.start()
            gc.freeze()  # what was imported stays; nobody has to look through it for garbage
            log(
                "listening",
                rest=str(Address(settings.rest.host, listener.getsockname()[1])),
                grpc=str(Address(settings.grpc.host, grpc_port)),
            )
            try:
                await stop.wait()
                log("draining")
                inference.is_draining = True
                await asyncio.sleep(settings.drain_notice_s)
                rest.should_exit = True
                await grpc_server.stop(settings.drain_timeout_s)
                await serving
            finally:
                await grpc_server.stop(None)
            fleet.close()


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


def _listen(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        return socket.create_server((address.host, address.port), family=family, backlog=1024)
    except OSError as exc:
        raise CannotListen(f"{address}: {exc.strerror or exc}") from exc


def _bind(server: grpc.aio.Server, address: Address) -> int:
    try:
        return server.add_insecure_port(str(address))
    except RuntimeError as exc:
        raise CannotListen(f"{address}: {exc}") from exc


class _RestServer(uvicorn.Server):
    def __init__(self, app: object, settings: Settings) -> None:
        super().__init__(
            uvicorn.Config(
                app,  # type: ignore[arg-type]  # FastAPI is an ASGI application
                lifespan="off",
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=max(1, int(settings.drain_timeout_s)),
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the whole server, which REST is a part of."""
        yield
