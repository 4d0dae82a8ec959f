"""Requests on the direct way that end early or late: booked once, and gone at once."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from gateway.servers.direct import Errand
from gateway.servers.fronts import OwnFront
from tests.fakes.arithmetic import Gate
from tests.fakes.gateways import Stack, until
from tests.fakes.gateways import against as loosely  # requests may end on the other way
from tests.servers.in_one_piece import TFS, against, asked, asked_alone, connected, post


def test_nothing_is_left_for_the_garbage_collector(tmp_path: Path) -> None:
    """Answered, refused and abandoned requests all go at once, with their tensors and connections."""

    async def one_of_each(stack: Stack) -> None:
        async with connected(stack) as client:
            good = await asked(client, TFS, {"instances": [[1, 2]]})
            bad = await asked(client, TFS, {"instances": [["x"]]})
            failed = await asked(client, "/v1/models/pairs:predict", {"instances": [[1]]})
            assert (good[0], bad[0], failed[0] // 100) == (200, 400, 4)
            stack.backends["tf"].fault = gate = Gate()
            await client.send(post(TFS, {"instances": [[1, 2]]}))
            await gate.reached()
        await until(lambda: not connections_of(stack))
        stack.backends["tf"].fault = None
        gate.opened.set()
        assert (await asked_alone(stack, TFS, {"instances": [[1, 2]]}))[0] == 200

    async def scenario(stack: Stack) -> None:
        await one_of_each(stack)  # what is made but once
        gc.collect()
        gc.disable()
        try:
            for _ in range(20):
                await one_of_each(stack)
            left = [
                thing for thing in unreachable() if type(thing).__module__.startswith("gateway.")
            ]
        finally:
            gc.enable()
        assert Counter(type(thing).__name__ for thing in left) == {}

    against(tmp_path, scenario)


def unreachable() -> list[object]:
    """What only the collector would find."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        return list(gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()


def test_one_that_leaves_while_its_several_batches_wait_is_booked_once(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        gate = Gate()
        stack.backends["tf"].fault = gate
        async with connected(stack) as leaver:
            await leaver.send(post(TFS, {"instances": [[i] for i in range(10)]}))
            await gate.reached()
        await until(lambda: stack.gateway.pipeline.in_flight == 0)
        assert stack.count("tandem_requests_total", reason="caller_left") == 1
        await until(lambda: stack.count("tandem_queued_rows", model="tokens") == 0)
        gate.opened.set()

    against(
        tmp_path,
        scenario,
        "[models.tokens]\nbatching = { max_batch_rows = 4 }\n",
    )


def test_one_that_leaves_before_the_first_step_of_its_task_is_booked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = Errand._go_on

    def go_on_as_the_client_leaves(errand: Errand, reply: Any) -> None:
        asyncio.get_running_loop().call_soon(errand.abandon)  # ahead of the task that is made now
        go_on(errand, reply)

    monkeypatch.setattr(Errand, "_go_on", go_on_as_the_client_leaves)

    async def scenario(stack: Stack) -> None:
        stack.backends["tf"].fault = Gate()
        async with connected(stack) as leaver:
            await leaver.send(post(TFS, {"instances": [[i] for i in range(10)]}))
            await until(lambda: stack.count("tandem_requests_total", reason="caller_left") == 1)
        assert stack.count("tandem_in_flight_bytes") == 0
        assert stack.gateway.pipeline.in_flight == 0

    against(
        tmp_path,
        scenario,
        "[models.tokens]\nbatching = { max_batch_rows = 4 }\n",
    )


def test_one_with_a_large_body_that_leaves_the_queue_is_noticed(tmp_path: Path) -> None:
    """Its body alone fills what a connection may hold unread, so that reading is stopped for a while."""

    async def scenario(stack: Stack) -> None:
        gate = Gate()
        stack.backends["tf"].fault = gate
        async with asyncio.TaskGroup() as group:
            group.create_task(asked_alone(stack, TFS, {"instances": [[1]]}))
            await gate.reached()
            async with connected(stack) as leaver:
                await leaver.send(post(TFS, {"instances": [[1] * 30_000]}))
                await until(lambda: stack.count("tandem_queued_rows", model="tokens") == 1)
            await until(lambda: stack.count("tandem_queued_rows", model="tokens") == 0)
            gate.opened.set()
        assert stack.count("tandem_requests_total", reason="caller_left") == 1

    loosely(tmp_path, scenario)


def test_a_body_that_comes_apart_from_its_head_takes_the_direct_way(tmp_path: Path) -> None:
    """As the usual clients send them; `against` lets nothing else through."""

    async def scenario(stack: Stack) -> None:
        for rows in ([[1, 2]], [[3, 4]], [[5, 6]]):
            answer = await stack.rest.post(TFS, json={"instances": rows})
            assert answer.json() == {"predictions": [sum(rows[0])]}
        async with connected(stack) as client:
            whole = post(TFS, {"instances": [[1, 2]]})
            await client.send(*[bytes([octet]) for octet in whole])
            assert (await client.answer())[0] == 200

    against(tmp_path, scenario)


def test_one_that_leaves_amid_its_body_is_booked_once(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        async with connected(stack) as client:
            await client.send(post(TFS, {"instances": [[1, 2]]})[:-5])
            await until(lambda: begun_in(stack) is not None)
        await until(lambda: stack.count("tandem_requests_total", reason="caller_left") == 1)
        assert stack.count("tandem_requests_total") == 1
        assert stack.gateway._desk.held_bytes == 0

    loosely(tmp_path, scenario)


def test_one_whose_body_does_not_arrive_in_time_is_refused_and_booked(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        async with connected(stack) as client:
            await client.send(post(TFS, {"instances": [[1, 2]]})[:-5])
            assert (await client.rest()).startswith(b"HTTP/1.1 408 ")
        await until(lambda: stack.count("tandem_requests_total") == 1)

    loosely(tmp_path, scenario, settings="[limits]\ndefault_timeout_s = 0.3\n")


def begun_in(stack: Stack) -> object:
    """What the only connection waits with."""
    return next((c._begun for c in connections_of(stack) if c._begun), None)


def connections_of(stack: Stack) -> Any:
    front = stack.gateway._front
    assert isinstance(front, OwnFront)
    return front._rest._server.server_state.connections
