"""Requests that are served without a task: booked once, gone at once, and no others' business."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import json
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.servers.direct import Errand
from gateway.servers.http_call import Question, Reply
from gateway.servers.rest import RawRoutes
from gateway.servers.tfs_rest import TfsRest
from tests.fakes.arithmetic import Gate
from tests.fakes.gateways import Stack, running, until
from tests.servers.wire import Client

TFS, OIP = "/v1/models/tokens:predict", "/v2/models/tokens/infer"


@pytest.fixture(autouse=True)
def _no_other_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever does not take the direct way gets 500: most clients send heads and bodies apart."""
    monkeypatch.delattr(RawRoutes, "__call__")


def against(path: Path, scenario: Callable[[Stack], Awaitable[None]], settings: str = "") -> None:
    async def run() -> None:
        async with running(path / "tandem.toml", settings=settings) as stack:
            await scenario(stack)

    asyncio.run(run())


@asynccontextmanager
async def connected(stack: Stack) -> AsyncIterator[Client]:
    host, _, port = stack.gateway.addresses["rest"].rpartition(":")
    client = Client(*await asyncio.open_connection(host, int(port)))
    try:
        yield client
    finally:
        client.abort()


def post(path: str, body: object, *more: str) -> bytes:
    text = json.dumps(body).encode()
    lines = [f"POST {path} HTTP/1.1", "host: x", *more, f"content-length: {len(text)}", "", ""]
    return "\r\n".join(lines).encode() + text


async def asked(client: Client, path: str, body: object, *more: str) -> tuple[int, Any]:
    """The status and the JSON of the answer to a request that is sent in one piece."""
    await client.send(post(path, body, *more))
    status, text = await client.answer()
    return status, json.loads(text)


async def asked_alone(stack: Stack, path: str, body: object) -> tuple[int, Any]:
    """As `asked`, on a connection of its own."""
    async with connected(stack) as client:
        return await asked(client, path, body)


def oip_body(rows: list[list[int]]) -> dict[str, object]:
    flat = [number for row in rows for number in row]
    shape = [len(rows), len(rows[0])]
    return {"inputs": [{"name": "ids", "datatype": "INT64", "shape": shape, "data": flat}]}


def test_nothing_is_left_for_the_garbage_collector(tmp_path: Path) -> None:
    """Answered and refused requests all go at once, with their tensors."""

    async def one_of_each(client: Client) -> None:
        good = await asked(client, TFS, {"instances": [[1, 2]]})
        bad = await asked(client, TFS, {"instances": [["x"]]})
        failed = await asked(client, "/v1/models/pairs:predict", {"instances": [[1]]})
        assert (good[0], bad[0], failed[0] // 100) == (200, 400, 4)

    async def scenario(stack: Stack) -> None:
        async with connected(stack) as client:
            await one_of_each(client)  # what is made but once
            gc.collect()
            gc.disable()
            try:
                for _ in range(20):
                    await one_of_each(client)
                left = [
                    thing
                    for thing in unreachable()
                    if type(thing).__module__.startswith("gateway.")
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


@pytest.mark.parametrize("path", [TFS, OIP])
def test_a_request_that_is_several_batches_is_answered(tmp_path: Path, path: str) -> None:
    async def scenario(stack: Stack) -> None:
        rows = [[i, 1] for i in range(10)]
        body = {"instances": rows} if path == TFS else oip_body(rows)
        status, answer = await asked_alone(stack, path, body)
        assert status == 200, answer
        assert len(stack.backends["tf"].batches) > 1
        assert stack.count("tandem_requests_total", reason="ok") == 1
        assert stack.count("tandem_assignments_total", model="tokens") == 1
        assert stack.gateway.pipeline.in_flight == 0

    against(tmp_path, scenario, "[models.tokens]\nbatching = { max_batch_rows = 4 }\n")


def test_one_that_leaves_while_its_several_batches_wait_is_booked_once(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        gate = Gate()
        stack.backends["tf"].fault = gate
        async with connected(stack) as leaver:
            await leaver.send(post(TFS, {"instances": [[i] for i in range(10)]}))
            await gate.arrived.wait()
        await until(lambda: stack.gateway.pipeline.in_flight == 0)
        assert stack.count("tandem_requests_total", reason="caller_left") == 1
        await until(lambda: stack.count("tandem_queued_rows", model="tokens") == 0)
        gate.opened.set()

    against(tmp_path, scenario, "[models.tokens]\nbatching = { max_batch_rows = 4 }\n")


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

    against(tmp_path, scenario, "[models.tokens]\nbatching = { max_batch_rows = 4 }\n")


def test_one_with_a_large_body_that_leaves_the_queue_is_noticed(tmp_path: Path) -> None:
    """Its body alone fills what a connection may hold unread, so that reading is stopped for a while."""

    async def scenario(stack: Stack) -> None:
        gate = Gate()
        stack.backends["tf"].fault = gate
        async with asyncio.TaskGroup() as group:
            group.create_task(asked_alone(stack, TFS, {"instances": [[1]]}))
            await gate.arrived.wait()
            async with connected(stack) as leaver:
                await leaver.send(post(TFS, {"instances": [[1] * 30_000]}))
                await until(lambda: stack.count("tandem_queued_rows", model="tokens") == 1)
            await until(lambda: stack.count("tandem_queued_rows", model="tokens") == 0)
            gate.opened.set()
        assert stack.count("tandem_requests_total", reason="caller_left") == 1

    against(tmp_path, scenario)


@pytest.mark.parametrize("path", [TFS, OIP])
def test_one_whose_body_finds_no_room_is_booked_for_its_model(tmp_path: Path, path: str) -> None:
    async def scenario(stack: Stack) -> None:
        desk = stack.gateway._desk
        desk.limits = dataclasses.replace(desk.limits, max_bytes_in_flight=5)
        status, _ = await asked_alone(stack, path, {"instances": [[1]]})
        assert status == 429
        assert stack.count("tandem_requests_total", model="tokens", reason="queue_full") == 1

    against(tmp_path, scenario)


def test_a_bug_in_writing_one_answer_spares_its_batch_mates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write = TfsRest.reply

    def fragile(endpoint: TfsRest, exchange: object, question: Question, answer: object) -> Reply:
        if question.call.body == b'{"instances": [[7, 7]]}':
            raise ZeroDivisionError
        reply = write(endpoint, exchange, question, answer)  # type: ignore[arg-type]
        assert reply is not None
        return reply

    monkeypatch.setattr(TfsRest, "reply", fragile)

    async def scenario(stack: Stack) -> None:
        gate = Gate()
        stack.backends["tf"].fault = gate
        async with asyncio.TaskGroup() as group:
            first, *mates = [
                group.create_task(asked_alone(stack, TFS, {"instances": [row]}))
                for row in ([5], [1, 1], [7, 7], [2, 2])
            ]
            await gate.arrived.wait()
            await until(lambda: stack.count("tandem_queued_rows", model="tokens") == 3)
            gate.opened.set()
        assert first.result()[0] == 200
        assert [mate.result()[0] for mate in mates] == [200, 500, 200]
        assert "ZeroDivisionError" in mates[1].result()[1]["error"]
        assert stack.count("tandem_requests_total", reason="internal") == 1
        assert stack.gateway.pipeline.in_flight == 0

    with caplog.at_level(logging.CRITICAL, "tandem"):
        against(tmp_path, scenario)


def test_what_the_head_said_is_forgotten_when_the_configuration_changes(tmp_path: Path) -> None:
    """One connection, one head: after a reload its requests go where the new table says."""

    async def scenario(stack: Stack) -> None:
        body = {"instances": [[3]]}
        async with connected(stack) as client:
            assert (await asked(client, TFS, body))[0] == 200
            text = stack.path.read_text()
            moved = text.replace("[models.tokens.arms.tf]", "[models.others.arms.tf]")
            stack.path.write_text(moved)
            await until(lambda: "tokens" not in stack.gateway.pipeline.table.models)
            assert (await asked(client, TFS, body))[0] == 404
            stack.path.write_text(text)
            await until(lambda: "tokens" in stack.gateway.pipeline.table.models)
            assert await asked(client, TFS, body) == (200, {"predictions": [3]})

    against(tmp_path, scenario)


def test_calls_that_share_a_head_have_deadlines_of_their_own(tmp_path: Path) -> None:
    """The patience is the head's; the moment it ends at is each request's."""

    async def scenario(stack: Stack) -> None:
        gate = Gate()
        body = {"instances": [[1]]}
        async with connected(stack) as client:
            for _ in range(3):
                status, _ = await asked(client, TFS, body, "x-tandem-timeout-ms: 60000")
                assert status == 200
            stack.backends["tf"].fault = gate
            for _ in range(2):
                late, _ = await asked(client, TFS, body, "x-tandem-timeout-ms: 30")
                assert late == 504
            gate.opened.set()

    against(tmp_path, scenario)
