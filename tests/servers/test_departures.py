"""HTTP clients that leave, in every phase: nobody else notices, and each is counted once."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from tests.fakes.arithmetic import Gate
from tests.fakes.gateways import Stack, against, until

PATH = "/v1/models/tokens:predict"


def post(body: bytes, *, declared: int | None = None) -> bytes:
    length = len(body) if declared is None else declared
    return f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n".encode() + body


async def connected(stack: Stack) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = stack.gateway.addresses["rest"].rpartition(":")
    return await asyncio.open_connection(host, int(port))


def test_a_client_that_leaves_the_queue_is_never_sent(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        gate = Gate()
        stack.backends["tf"].fault = gate
        async with asyncio.TaskGroup() as group:
            first = group.create_task(stack.rest.post(PATH, json={"instances": [[1]]}))
            await gate.reached()
            _, leaver = await connected(stack)
            leaver.write(post(json.dumps({"instances": [[7, 7]]}).encode()))
            await until(lambda: stack.count("tandem_queued_rows", model="tokens") == 1)
            mate = group.create_task(stack.rest.post(PATH, json={"instances": [[2, 2]]}))
            await until(lambda: stack.count("tandem_queued_rows", model="tokens") == 2)
            leaver.close()
            await until(lambda: stack.count("tandem_queued_rows", model="tokens") == 1)
            gate.opened.set()
        assert first.result().json() == {"predictions": [1]}
        assert mate.result().json() == {"predictions": [4]}
        assert stack.backends["tf"].batches == [1, 1]
        assert stack.count("tandem_requests_total", reason="caller_left") == 1
        assert stack.count("tandem_requests_total", reason="ok") == 2
        assert stack.gateway.pipeline.in_flight == 0

    against(tmp_path, scenario)


def test_a_batch_that_nobody_waits_for_is_given_up(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        gate = Gate()
        stack.backends["tf"].fault = gate
        _, leaver = await connected(stack)
        leaver.write(post(b'{"instances": [[1]]}'))
        await gate.reached()
        leaver.close()
        await until(lambda: stack.count("tandem_in_flight_batches", model="tokens") == 0)
        stack.backends["tf"].fault = None
        answer = await stack.rest.post(PATH, json={"instances": [[5]]})
        assert answer.json() == {"predictions": [5]}
        assert stack.count("tandem_batches_total", model="tokens", reason="caller_left") == 1

    against(tmp_path, scenario)


def test_a_client_that_leaves_amid_its_body_is_counted(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        _, leaver = await connected(stack)
        leaver.write(post(b'{"instances"', declared=500))
        await leaver.drain()
        leaver.close()
        await until(lambda: stack.count("tandem_requests_total", reason="caller_left") == 1)
        assert stack.count("tandem_requests_total") == 1

    against(tmp_path, scenario)


def test_requests_in_a_row_on_one_connection_are_answered_in_order(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        reader, writer = await connected(stack)
        writer.write(b"".join(post(f'{{"instances": [[{n}]]}}'.encode()) for n in range(5)))
        answers = b""
        while answers.count(b"predictions") < 5:
            answers += await reader.read(65536)
        found = [part.split(b"}")[0] for part in answers.split(b'{"predictions":')[1:]]
        assert found == [f"[{n}]".encode() for n in range(5)]
        writer.close()

    against(tmp_path, scenario)


def test_many_leavers_among_many_stayers(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        gate = Gate()
        stack.backends["tf"].fault = gate
        async with asyncio.TaskGroup() as group:
            group.create_task(stack.rest.post(PATH, json={"instances": [[0]]}))
            await gate.reached()
            leavers = [(await connected(stack))[1] for _ in range(40)]
            for leaver in leavers:
                leaver.write(post(b'{"instances": [[9, 9]]}'))
            stayers = [
                group.create_task(stack.rest.post(PATH, json={"instances": [[n, n]]}))
                for n in range(40)
            ]
            await until(lambda: stack.count("tandem_queued_rows", model="tokens") == 80)
            for leaver in leavers:
                leaver.close()
            await until(lambda: stack.count("tandem_queued_rows", model="tokens") == 40)
            gate.opened.set()
        assert [s.result().json()["predictions"] for s in stayers] == [[2 * n] for n in range(40)]
        assert stack.backends["tf"].batches == [1, 40]
        assert stack.count("tandem_requests_total", reason="caller_left") == 40

    against(tmp_path, scenario)
