"""Requests that are served without a task get what they ask for, and are no others' business."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from gateway import answering
from gateway.answering import Answer
from gateway.messages import InferRequest
from gateway.scene import Route
from gateway.servers.http_call import Question, Reply
from gateway.servers.tfs_rest import TfsRest
from tests.fakes.arithmetic import Gate
from tests.fakes.gateways import Stack, running, until
from tests.servers.in_one_piece import OIP, TFS, against, asked, asked_alone, connected


def oip_body(rows: list[list[int]]) -> dict[str, object]:
    flat = [number for row in rows for number in row]
    shape = [len(rows), len(rows[0])]
    return {"inputs": [{"name": "ids", "datatype": "INT64", "shape": shape, "data": flat}]}


def raw_post(ids: npt.NDArray[Any]) -> bytes:
    """The array as bytes behind the JSON part."""
    data = ids.astype("<i8").tobytes()
    described = {"name": "ids", "datatype": "INT64", "shape": ids.shape}
    text = json.dumps({"inputs": [{**described, "parameters": {"binary_data_size": len(data)}}]})
    head = [f"POST {OIP} HTTP/1.1", "host: x", f"inference-header-content-length: {len(text)}"]
    lines = [*head, f"content-length: {len(text) + len(data)}", "", text]
    return "\r\n".join(lines).encode() + data


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

    against(
        tmp_path,
        scenario,
        "[models.tokens]\nbatching = { max_batch_rows = 4 }\n",
    )


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

    with caplog.at_level(logging.CRITICAL, "tandem"):
        against(tmp_path, one_of_a_batch_fails)


def test_a_bug_in_booking_one_answer_spares_its_batch_mates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    book = answering.answered

    def fragile(route: Route, request: InferRequest, *rest: Any, request_id: str) -> Answer:
        if request.inputs[0].array[0, 0] == 7:
            raise ZeroDivisionError
        return book(route, request, *rest, request_id=request_id)

    monkeypatch.setattr(answering, "answered", fragile)

    with caplog.at_level(logging.CRITICAL, "tandem"):
        against(tmp_path, one_of_a_batch_fails)


async def one_of_a_batch_fails(stack: Stack) -> None:
    """The request of sevens, and no other; it is booked as a failure of ours."""
    assert await batched(stack, [[1, 1], [7, 7], [2, 2]]) == [200, 500, 200]
    assert stack.count("tandem_requests_total", reason="internal") == 1
    assert stack.gateway.pipeline.in_flight == 0


async def batched(stack: Stack, rows: list[list[int]]) -> list[int]:
    """The statuses of requests that share a batch."""
    stack.backends["tf"].fault = gate = Gate()
    async with asyncio.TaskGroup() as group:
        group.create_task(asked_alone(stack, TFS, {"instances": [[5]]}))
        await gate.reached()
        mates = [group.create_task(asked_alone(stack, TFS, {"instances": [row]})) for row in rows]
        await until(lambda: stack.count("tandem_queued_rows", model="tokens") == len(rows))
        gate.opened.set()
    return [mate.result()[0] for mate in mates]


def test_what_the_head_said_is_forgotten_when_the_configuration_changes(tmp_path: Path) -> None:
    """One connection, one head: after a reload its requests go where the new table says."""

    async def scenario(stack: Stack) -> None:
        body = {"instances": [[3]]}
        async with connected(stack) as client:
            assert (await asked(client, TFS, body))[0] == 200
            text = stack.path.read_text()
            moved = text.replace("[models.tokens.", "[models.others.")
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


@pytest.mark.parametrize("numbers", [5_000, 50_000])
def test_raw_tensors_of_any_size_take_the_direct_way(tmp_path: Path, numbers: int) -> None:
    """In one piece, or in many."""

    async def scenario(stack: Stack) -> None:
        async with connected(stack) as client:
            for i in range(3):
                await client.send(raw_post(np.full((1, numbers), i)))
                status, body = await client.answer()
                assert status == 200, body
                assert json.loads(body)["outputs"][0]["data"] == [i * numbers]
                assert stack.gateway._desk.held_bytes == 0
        assert stack.count("tandem_requests_total", reason="ok") == 3

    against(tmp_path, scenario)


def test_raw_tensors_are_announced_for_half_of_the_room_at_most(tmp_path: Path) -> None:
    """More is taken as it comes, so that heads alone do not use up what others need."""

    async def scenario() -> None:
        async with running(tmp_path / "tandem.toml") as stack:
            desk, request = stack.gateway._desk, raw_post(np.ones((1, 50_000)))
            size = len(request) - request.index(b"\r\n\r\n") - 4
            desk.limits = dataclasses.replace(desk.limits, max_bytes_in_flight=2 * size)
            async with connected(stack) as first, connected(stack) as second:
                await first.send(request[:-1])
                await until(lambda: desk.held_bytes == size)
                await second.send(request[:1000])
                await until(lambda: desk.held_bytes > size)
                await second.send(request[1000:-1])
                second.abort()
                await first.send(request[-1:])
                assert (await first.answer())[0] == 200
            await until(lambda: desk.held_bytes == 0)

    asyncio.run(scenario())
