"""A drain that runs out of time ends all the same."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import httpx

from gateway.lifecycle import State
from tests.fakes.arithmetic import Gate
from tests.fakes.gateways import running

PATH = "/v1/models/tokens:predict"


def test_a_request_that_never_ends_does_not_keep_the_gateway(tmp_path: Path) -> None:
    async def run() -> None:
        settings = "[limits]\ndrain_timeout_s = 0.2\n"
        async with running(tmp_path / "tandem.toml", settings=settings) as stack:
            stack.backends["tf"].fault = gate = Gate()

            async def ask() -> None:
                with contextlib.suppress(httpx.TransportError):  # closed without an answer
                    answer = await stack.rest.post(PATH, json={"instances": [[1]]})
                    assert answer.status_code in {200, 500, 503}

            async with asyncio.TaskGroup() as group:
                group.create_task(ask())
                await gate.reached()
                await stack.gateway.drain()
                assert stack.gateway.lifecycle.state is State.STOPPED
                gate.opened.set()

    asyncio.run(run())
