"""The application that Envoy loads: it lives as long as Envoy does, and ends Envoy when it is told to end.

Standard input is the order: when it is closed, by whoever started Envoy or by their death, the gateway
drains, and Envoy quits.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final

from gateway.app import Gateway, calm_collector
from gateway.control.source import ConfigFile
from gateway.front.terms import Terms
from gateway.front.within import EnvoyFront
from gateway.servers.body import Receive, Send
from gateway.telemetry.logs import json_logging

__all__ = ["Application", "app"]

_log = logging.getLogger("tandem")

# Set for the interpreter inside Envoy; a process that this one starts has its own.
_FOREIGN: Final = ("PYTHONHOME", "LD_PRELOAD", "PYTHONPATH")


class Application:
    """The gateway as an ASGI application, from Envoy's start to its end."""

    # So that pyvoy does not take it for one of ASGI 2: calling it makes a coroutine, but is none.
    _asgi_single_callable = True

    _front: EnvoyFront

    def __call__(
        self, scope: dict[str, Any], receive: Receive, send: Send
    ) -> Coroutine[Any, Any, None]:
        """Serve one request, or live."""
        if scope["type"] == "lifespan":
            return self._live(receive, send)
        return self._front.app(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        asyncio.get_running_loop().set_exception_handler(_report)
        terms = _settle()
        self._front = EnvoyFront(terms)
        file = ConfigFile(Path(terms.file), terms.listen)
        config = file.load()
        gateway = Gateway(file, config, self._front)
        with json_logging(config.log.level, gateway.metrics.log_lines_dropped.inc):
            async with gateway:
                await send({"type": "lifespan.startup.complete"})
                await self._until_the_end(gateway, receive)
        await send({"type": "lifespan.shutdown.complete"})

    async def _until_the_end(self, gateway: Gateway, receive: Receive) -> None:
        """Serve until standard input is closed, or Envoy ends by itself."""
        asked = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(sys.stdin.fileno(), asked.set)
        async with asyncio.TaskGroup() as group:
            ending = group.create_task(_received(receive, asked))
            await asked.wait()
            loop.remove_reader(sys.stdin.fileno())
            if not ending.done():
                await gateway.drain()
                await self._front.quit()


async def _received(receive: Receive, asked: asyncio.Event) -> None:
    await receive()
    asked.set()


def _report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Have the loop tell what failed in a callback, but for what pyvoy brings to a cancelled `receive`."""
    if "_pyvoy" in context["message"] and isinstance(
        context.get("exception"), asyncio.InvalidStateError
    ):
        return
    loop.default_exception_handler(context)


def _settle() -> Terms:
    """Make this interpreter like any other, and return what it was started for."""
    terms = Terms.from_environment(os.environ)
    sys.executable = terms.executable
    for name in _FOREIGN:
        os.environ.pop(name, None)
    calm_collector()
    return terms


app = Application()
