"""Requests that are served without a task: booked once, gone at once, and no others' business."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from gateway.servers.http_call import Question, Reply
from gateway.servers.tfs_rest import TfsRest
from tests.fakes.arithmetic import Gate
from tests.fakes.gateways import Stack, running, until

TFS, OIP = "/v1/models/tokens:predict", "/v2/models/tokens/infer"


def against(path: Path, scenario: Callable[[Stack], Awaitable[None]], settings: str = "") -> None:
    async def run() -> None:
        async with running(path / "tandem.toml", settings=settings) as stack:
            await scenario(stack)

    asyncio.run(run())


def oip_body(rows: list[list[int]]) -> dict[str, object]:
    flat = [number for row in rows for number in row]
    shape = [len(rows), len(rows[0])]
    return {"inputs": [{"name": "ids", "datatype": "INT64", "shape": shape, "data": flat}]}


def test_nothing_is_left_for_the_garbage_collector(tmp_path: Path) -> None:
    """Answered, refused and abandoned requests all go at once, with their tensors."""

    async def one_of_each(stack: Stack) -> None:
        good = await stack.rest.post(TFS, json={"instances": [[1, 2]]})
        bad = await stack.rest.post(TFS, json={"instances": [["x"]]})
        failed = await stack.rest.post("/v1/models/pairs:predict", json={"instances": [[1]]})
        assert (good.status_code, bad.status_code, failed.status_code // 100) == (200, 400, 4)

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


@pytest.mark.parametrize("path", [TFS, OIP])
def test_a_request_that_is_several_batches_is_answered(tmp_path: Path, path: str) -> None:
    async def scenario(stack: Stack) -> None:
        rows = [[i, 1] for i in range(10)]
        body = {"instances": rows} if path == TFS else oip_body(rows)
        answer = await stack.rest.post(path, json=body)
        assert answer.status_code == 200, answer.text
        assert len(stack.backends["tf"].batches) > 1
        assert stack.count("tandem_requests_total", reason="ok") == 1
        assert stack.count("tandem_assignments_total", model="tokens") == 1
        assert stack.gateway.pipeline.in_flight == 0

    against(tmp_path, scenario, "[models.tokens]\nbatching = { max_batch_rows = 4 }\n")


def test_one_that_leaves_while_its_several_batches_wait_is_booked_once(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        gate = Gate()
        stack.backends["tf"].fault = gate
        body = json.dumps({"instances": [[i] for i in range(10)]}).encode()
        host, _, port = stack.gateway.addresses["rest"].rpartition(":")
        _, leaver = await asyncio.open_connection(host, int(port))
        head = f"POST {TFS} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
        leaver.write(head.encode() + body)
        await gate.arrived.wait()
        leaver.close()
        await until(lambda: stack.gateway.pipeline.in_flight == 0)
        assert stack.count("tandem_requests_total", reason="caller_left") == 1
        await until(lambda: stack.count("tandem_queued_rows", model="tokens") == 0)
        gate.opened.set()

    against(tmp_path, scenario, "[models.tokens]\nbatching = { max_batch_rows = 4 }\n")


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
            bodies = [b"[[1, 1]]", b"[[7, 7]]", b"[[2, 2]]"]
            first, *mates = [
                group.create_task(stack.rest.post(TFS, content=b'{"instances": %b}' % body))
                for body in (b"[[5]]", *bodies)
            ]
            await gate.arrived.wait()
            await until(lambda: stack.count("tandem_queued_rows", model="tokens") == 3)
            gate.opened.set()
        assert first.result().status_code == 200
        assert [mate.result().status_code for mate in mates] == [200, 500, 200]
        assert "ZeroDivisionError" in mates[1].result().text
        assert stack.count("tandem_requests_total", reason="internal") == 1
        assert stack.gateway.pipeline.in_flight == 0

    with caplog.at_level(logging.CRITICAL, "tandem"):
        against(tmp_path, scenario)


def test_what_the_head_said_is_forgotten_when_the_configuration_changes(tmp_path: Path) -> None:
    """One connection, one head: after a reload its requests go where the new table says."""

    async def scenario(stack: Stack) -> None:
        body = {"instances": [[3]]}
        assert (await stack.rest.post(TFS, json=body)).status_code == 200
        text = stack.path.read_text()
        stack.path.write_text(text.replace("[models.tokens.arms.tf]", "[models.others.arms.tf]"))
        await until(lambda: "tokens" not in stack.gateway.pipeline.table.models)
        gone = await stack.rest.post(TFS, json=body)
        assert gone.status_code == 404
        stack.path.write_text(text)
        await until(lambda: "tokens" in stack.gateway.pipeline.table.models)
        back = await stack.rest.post(TFS, json=body)
        assert back.json() == {"predictions": [3]}

    against(tmp_path, scenario)


def test_calls_that_share_a_head_have_deadlines_of_their_own(tmp_path: Path) -> None:
    """The patience is the head's; the moment it ends at is each request's."""

    async def scenario(stack: Stack) -> None:
        gate = Gate()
        headers = {"x-tandem-timeout-ms": "60000"}
        for _ in range(3):
            fine = await stack.rest.post(TFS, json={"instances": [[1]]}, headers=headers)
            assert fine.status_code == 200
        stack.backends["tf"].fault = gate
        late = await stack.rest.post(
            TFS, json={"instances": [[1]]}, headers={"x-tandem-timeout-ms": "30"}
        )
        assert late.status_code == 504
        gate.opened.set()

    against(tmp_path, scenario)
