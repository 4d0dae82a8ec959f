"""Messages of many small parts are read and written by another process; large runs of numbers are not."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from gateway._stubs import oip_wire_pb2 as oip
from gateway._stubs import tfs_wire_pb2 as tfs
from gateway._stubs import torchserve_wire_pb2 as torchserve
from gateway.codecs import oip_proto, tfs_proto
from gateway.codecs.slow_messages import SLOW_BYTES
from gateway.messages import InferRequest
from gateway.servers import grpc_direct, oip_infer, tfs_infer, torchserve_grpc
from gateway.tensors import Tensor
from tests.fakes.gateways import Stack, against
from tests.servers.large import busy, jobs, work

PREDICT = "/tensorflow.serving.PredictionService/Predict"
INFER = "/inference.GRPCInferenceService/ModelInfer"
STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"
PREDICTIONS = "/org.pytorch.serve.grpc.inference.InferenceAPIsService/Predictions"

ROW = Tensor("x", "FP32", np.array([[1, 2, 3, 4]], np.float32))
MANY_ROWS = """
[models.tokens]
batching = { max_batch_rows = 20000, max_queued_rows = 20000 }
[models.tokens.arms.tf]
backend = "tf"
[models.floats.arms.torch]
backend = "torch"
"""


def request(model: str, *inputs: Tensor) -> InferRequest:
    return InferRequest(model=model, inputs=inputs)


def empty_strings(count: int) -> bytes:
    strings = Tensor("x", "BYTES", np.array([b""] * count, np.object_))
    return oip_proto.encode_request(request("floats", strings))


def typed(count: int) -> bytes:
    message = oip.ModelInferRequest(model_name="floats", id="mine")
    tensor = message.inputs.add(name="x", datatype="FP32", shape=[count, 4])
    tensor.contents.fp32_contents.extend([1.5] * 4 * count)
    return message.SerializeToString()


def token_values(count: int) -> bytes:
    message = tfs.PredictRequest()
    message.model_spec.name = "tokens"
    ids = message.inputs["ids"]
    ids.dtype = tfs.DT_INT64
    for size in (1, count):
        ids.tensor_shape.dim.add(size=size)
    ids.int64_val.extend(range(count))
    return message.SerializeToString()


def many_entries(count: int) -> bytes:
    entries = {str(number): b"" for number in range(count)}
    return torchserve.PredictionsRequest(model_name="floats", input=entries).SerializeToString()


SAME = [
    (INFER, oip_proto.encode_request(request("floats", ROW))),
    (INFER, typed(8)),
    (INFER, empty_strings(10)),
    (INFER, b"\xff" * 10),
    (INFER, oip_proto.encode_request(request("none", ROW))),
    (PREDICT, tfs_proto.encode_request(request("floats", ROW))),
    (PREDICT, token_values(10)),
    (PREDICT, tfs_proto.encode_request(request("none", ROW))),
    (PREDICT, b"\x0a\x03abc"),
    (PREDICTIONS, many_entries(1)),
    (PREDICTIONS, many_entries(300)),
]


@contextmanager
def everything(monkeypatch: pytest.MonkeyPatch, *, is_slow: bool) -> Iterator[None]:
    """Every message goes to the worker, or none."""
    least = -1 if is_slow else sys.maxsize
    with monkeypatch.context() as patch:
        for module in (grpc_direct, tfs_infer, oip_infer, torchserve_grpc):
            patch.setattr(module, "SLOW_BYTES", least)
        for module in (tfs_infer, oip_infer):
            patch.setattr(module, "are_slow", lambda *_: is_slow)
        yield


def test_it_makes_no_difference_who_reads_and_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(stack: Stack) -> None:
        async with grpc.aio.insecure_channel(stack.grpc) as channel:
            for path, data in SAME:
                with everything(monkeypatch, is_slow=False):
                    here = await outcome(channel, path, data)
                before = jobs(stack)
                with everything(monkeypatch, is_slow=True):
                    elsewhere = await outcome(channel, path, data)
                assert elsewhere == here, (path, data)
                assert jobs(stack) > before

    against(tmp_path, scenario)


async def outcome(channel: grpc.aio.Channel, path: str, data: bytes) -> Any:
    call: Any = channel.unary_unary(path)
    try:
        return await call(data, metadata=[("x-request-id", "the same")], timeout=60)
    except grpc.aio.AioRpcError as error:
        return error.code(), error.details()


@pytest.mark.parametrize(
    ("path", "data", "code"),
    [
        (INFER, empty_strings(20_000), grpc.StatusCode.INVALID_ARGUMENT),
        (INFER, typed(4_000), grpc.StatusCode.OK),
        (PREDICT, token_values(40_000), grpc.StatusCode.OK),
        (PREDICTIONS, many_entries(20_000), grpc.StatusCode.INVALID_ARGUMENT),
        (INFER, b"\xf8\x01\x00" * 20_000, grpc.StatusCode.NOT_FOUND),
    ],
    ids=["strings", "typed contents", "int64_val", "map entries", "unknown fields"],
)
def test_small_requests_are_answered_while_a_message_of_many_parts_is_read(
    tmp_path: Path, path: str, data: bytes, code: grpc.StatusCode
) -> None:
    async def scenario(stack: Stack) -> None:
        async with grpc.aio.insecure_channel(stack.grpc) as channel:
            small = oip_proto.encode_request(request("floats", ROW))
            async with asyncio.TaskGroup() as group, stopped(stack, channel) as pid:
                large = group.create_task(outcome(channel, path, data))
                assert await busy(stack) == pid
                for _ in range(3):
                    assert isinstance(await outcome(channel, INFER, small), bytes)
                assert not large.done()
            answered = large.result()
            got = grpc.StatusCode.OK if isinstance(answered, bytes) else answered[0]
            assert got == code

    against(tmp_path, scenario)


class stopped:  # noqa: N801  # used as a function
    """A worker that does nothing while the block runs."""

    def __init__(self, stack: Stack, channel: grpc.aio.Channel) -> None:
        self._stack, self._channel, self._pid = stack, channel, 0

    async def __aenter__(self) -> int:
        await outcome(self._channel, INFER, empty_strings(20_000))  # which starts it
        pid = work(self._stack).worker_pid
        assert pid is not None
        self._pid = pid
        os.kill(pid, signal.SIGSTOP)
        return pid

    async def __aexit__(self, *_: object) -> None:
        os.kill(self._pid, signal.SIGCONT)


def test_a_stream_goes_on_beside_a_slow_message_and_keeps_the_order(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        async with grpc.aio.insecure_channel(stack.grpc) as channel:
            call: Any = channel.stream_stream(STREAM)()
            for data in (typed(4_000), oip_proto.encode_request(request("floats", ROW))):
                await call.write(data)
            await call.done_writing()
            answers = [oip.ModelStreamInferResponse.FromString(data) async for data in call]
            assert [answer.error_message for answer in answers] == ["", ""]
            assert [answer.infer_response.id for answer in answers] == ["mine", ""]
            assert jobs(stack) == 1

    against(tmp_path, scenario)


@pytest.mark.parametrize(
    ("path", "encode"),
    [(INFER, oip_proto.encode_request), (PREDICT, tfs_proto.encode_request)],
    ids=["raw_input_contents", "tensor_content"],
)
def test_large_runs_of_numbers_are_read_where_they_stand(
    tmp_path: Path, path: str, encode: Callable[[InferRequest], bytes]
) -> None:
    async def scenario(stack: Stack) -> None:
        rows = Tensor("x", "FP32", np.zeros((4_000, 4), np.float32))
        data = encode(request("floats", rows))
        assert len(data) > SLOW_BYTES
        async with grpc.aio.insecure_channel(stack.grpc) as channel:
            assert isinstance(await outcome(channel, path, data), bytes)
        assert (jobs(stack), work(stack).worker_pid) == (0, None)

    against(tmp_path, scenario)


def test_many_numbers_of_a_varying_width_are_written_elsewhere(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        ids = Tensor("ids", "INT64", np.arange(20_000).reshape(-1, 1))
        data = tfs_proto.encode_request(request("tokens", ids))
        async with grpc.aio.insecure_channel(stack.grpc) as channel:
            answer = await outcome(channel, PREDICT, data)
        assert isinstance(answer, bytes)
        (total,) = tfs_proto.decode_response(answer).outputs
        np.testing.assert_array_equal(total.array, np.arange(20_000))
        assert jobs(stack) == 1

    against(tmp_path, scenario, models=MANY_ROWS)


def test_a_question_is_small(tmp_path: Path) -> None:
    async def scenario(stack: Stack) -> None:
        async with grpc.aio.insecure_channel(stack.grpc) as channel:
            path = "/inference.GRPCInferenceService/ModelReady"
            told = await outcome(channel, path, b"\xf8\x01\x00" * 100_000)
        text = "got 300000 bytes, a question has at most 65536"
        assert told == (grpc.StatusCode.INVALID_ARGUMENT, text)

    against(tmp_path, scenario)
