"""SIGTERM to several workers loses nothing that one of them has accepted, over whatever it came."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import TypeAlias

import grpc
import numpy as np
import pytest

from gateway._stubs import oip_wire_pb2 as pb
from gateway.codecs import oip_proto
from gateway.messages import InferRequest
from gateway.tensors import Tensor
from tests.fakes.arithmetic import Gate
from tests.workers.processes import PREDICT, Crew, against

pytestmark = pytest.mark.slow

Stream: TypeAlias = "grpc.aio.StreamStreamMultiCallable[bytes, bytes]"
Ask: TypeAlias = "grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]"

SERVICE = "/inference.GRPCInferenceService"
CHANNELS = 6
STREAMED = 3  # requests of each stream


def encoded(number: int) -> bytes:
    ids = np.array([[number]], np.int64)
    request = InferRequest(model="tokens", inputs=(Tensor("ids", "INT64", ids),), id=str(number))
    return oip_proto.encode_request(request)


def decoded(answer: bytes) -> tuple[str, int]:
    response = oip_proto.decode_response(answer)
    return response.id, int(response.outputs[0].array[0])


async def streamed(channel: grpc.aio.Channel, first: int) -> tuple[list[tuple[str, int]], str]:
    """The answers of one stream, and how it ended."""
    stream: Stream = channel.stream_stream(f"{SERVICE}/ModelStreamInfer")
    call = stream()
    for number in range(first, first + STREAMED):
        await call.write(encoded(number))
    found: list[tuple[str, int]] = []
    while len(found) < STREAMED:
        answer = await call.read()
        assert isinstance(answer, bytes)
        response = pb.ModelStreamInferResponse.FromString(answer)
        assert not response.error_message
        found.append(decoded(response.infer_response.SerializeToString()))
    with pytest.raises(grpc.aio.AioRpcError) as ended:
        await call.read()
    return found, str(ended.value.details())


async def asked(channel: grpc.aio.Channel, number: int) -> tuple[str, int]:
    ask: Ask = channel.unary_unary(f"{SERVICE}/ModelInfer")
    return decoded(await ask(encoded(number)))


def test_calls_streams_and_kept_connections_are_answered_before_the_end(tmp_path: Path) -> None:
    async def scenario(crew: Crew) -> None:
        channels = [
            grpc.aio.insecure_channel(
                crew.addresses["grpc"], options=[("grpc.use_local_subchannel_pool", 1)]
            )
            for _ in range(CHANNELS)
        ]
        async with crew.client() as client:
            kept = await client.post(PREDICT, json={"instances": [[0]]})
            assert kept.status_code == 200
            crew.backend.fault = gate = Gate()
            async with asyncio.TaskGroup() as group:
                calls = [group.create_task(asked(c, 100 + n)) for n, c in enumerate(channels)]
                streams = [group.create_task(streamed(c, 10 * n)) for n, c in enumerate(channels)]
                rest = group.create_task(client.post(PREDICT, json={"instances": [[7]]}))
                await crew.until_accepted(CHANNELS * (1 + STREAMED) + 1)
                crew.process.send_signal(signal.SIGTERM)
                gate.opened.set()
        assert [call.result() for call in calls] == [
            (str(100 + n), 100 + n) for n in range(CHANNELS)
        ]
        for n, task in enumerate(streams):
            numbers = range(10 * n, 10 * n + STREAMED)
            wanted = [(str(number), number) for number in numbers]
            assert task.result() == (wanted, "the gateway is draining")
        assert rest.result().json() == {"predictions": [7]}
        for channel in channels:
            await channel.close()
        assert await crew.ends() == 0

    against(tmp_path, scenario)


def test_signals_to_every_process_at_once_lose_nothing(tmp_path: Path) -> None:
    """systemd sends SIGTERM to all of a unit; then the supervisor tells its workers again."""

    async def scenario(crew: Crew) -> None:
        crew.backend.fault = gate = Gate()
        async with asyncio.TaskGroup() as group:
            held = [group.create_task(crew.predict(n)) for n in range(12)]
            await crew.until_accepted(12)
            for pid in (*crew.pids().values(), crew.process.pid):
                os.kill(pid, signal.SIGTERM)
            await crew.until_logged("Shutting down", 2)
            gate.opened.set()
        assert [task.result().json() for task in held] == [{"predictions": [n]} for n in range(12)]
        assert await crew.ends() == 0

    against(tmp_path, scenario)
