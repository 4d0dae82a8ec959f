"""Calls that are like one before them: each has its own answer, deadline and arm, and is booked once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import numpy as np
import pytest

from gateway.codecs import oip_proto, tfs_proto
from gateway.messages import InferRequest
from gateway.tensors import Tensor
from tests.fakes.arithmetic import Gate
from tests.fakes.gateways import Stack, against, until

PREDICT = "/tensorflow.serving.PredictionService/Predict"
INFER = "/inference.GRPCInferenceService/ModelInfer"
ONE_ARM = """
[models.floats.arms.tf]
backend = "tf"
"""
OTHER_ARM = ONE_ARM.replace("tf", "torch")
TWO_ARMS = f"""{ONE_ARM}
[models.floats.arms.torch]
backend = "torch"
weight = 0
"""
SMALL_BATCHES = f"""
[models.floats]
batching = {{ max_batch_rows = 2 }}
{ONE_ARM}"""
ENCODE = {PREDICT: tfs_proto.encode_request, INFER: oip_proto.encode_request}
DECODE = {PREDICT: tfs_proto.decode_response, INFER: oip_proto.decode_response}
BOTH = pytest.mark.parametrize("path", [PREDICT, INFER])


def message(path: str, *rows: list[float], model: str = "floats") -> bytes:
    tensor = Tensor("x", "FP32", np.array(rows, np.float32))
    return ENCODE[path](InferRequest(model=model, inputs=(tensor,)))


def method_of(
    channel: grpc.aio.Channel, path: str
) -> grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]:
    """The method as a call of bytes for bytes."""
    return channel.unary_unary(path)


async def rows_of(call: grpc.aio.UnaryUnaryCall[bytes, bytes], path: str) -> object:
    return DECODE[path](await call).outputs[0].array.tolist()


@BOTH
def test_calls_of_one_kind_get_the_answers_to_their_own_values(tmp_path: Path, path: str) -> None:
    async def scenario(stack: Stack) -> None:
        async with grpc.aio.insecure_channel(stack.grpc) as channel:
            ask = method_of(channel, path)
            for _ in range(2):
                calls = [ask(message(path, [n, 0, 0, 1])) for n in range(32)]
                for n, call in enumerate(calls):
                    assert await rows_of(call, path) == [[2 * n + 1, 1, 1, 3]]
            odd = ask(message(path, [1, 2, 3, 4], model="nobody"))
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await odd
            assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        assert stack.count("tandem_requests_total", model="floats", reason="ok") == 64
        assert stack.count("tandem_requests_total") == 65
        assert stack.count("tandem_in_flight_bytes") == 0

    against(tmp_path, scenario, models=ONE_ARM)


@BOTH
def test_a_known_kind_goes_to_the_arm_that_its_call_names(tmp_path: Path, path: str) -> None:
    async def scenario(stack: Stack) -> None:
        async with grpc.aio.insecure_channel(stack.grpc) as channel:
            ask = method_of(channel, path)
            for arm in ("tf", "torch", "tf"):
                for n in range(3):
                    call = ask(message(path, [n, 0, 0, 1]), metadata=(("x-tandem-arm", arm),))
                    assert await rows_of(call, path) == [[2 * n + 1, 1, 1, 3]]
        assert stack.count("tandem_requests_total", arm="tf") == 6
        assert stack.count("tandem_requests_total", arm="torch") == 3

    against(tmp_path, scenario, models=TWO_ARMS)


@BOTH
def test_a_known_kind_goes_where_a_reload_says(tmp_path: Path, path: str) -> None:
    async def scenario(stack: Stack) -> None:
        async with grpc.aio.insecure_channel(stack.grpc) as channel:
            ask = method_of(channel, path)
            for _ in range(2):
                await ask(message(path, [1, 2, 3, 4]))
            text = stack.path.read_text()
            stack.path.write_text(text.replace(ONE_ARM, OTHER_ARM))
            await until(lambda: stack.count("tandem_config_reloads_total", outcome="applied") == 1)
            for n in range(2):
                call = ask(message(path, [n, 0, 0, 1]))
                assert await rows_of(call, path) == [[2 * n + 1, 1, 1, 3]]
        assert stack.count("tandem_requests_total", arm="tf") == 2
        assert stack.count("tandem_requests_total", arm="torch") == 2

    against(tmp_path, scenario, models=ONE_ARM)


@BOTH
def test_each_call_of_a_kind_has_its_own_deadline(tmp_path: Path, path: str) -> None:
    async def scenario(stack: Stack) -> None:
        gate = Gate()
        async with grpc.aio.insecure_channel(stack.grpc) as channel:
            ask = method_of(channel, path)
            for _ in range(2):
                await ask(message(path, [1, 2, 3, 4]))
            stack.backends["tf"].fault = gate
            patient = ask(message(path, [5, 0, 0, 1]))
            await gate.arrived.wait()
            hasty = ask(message(path, [1, 2, 3, 4]), metadata=(("x-tandem-timeout-ms", "50"),))
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await hasty
            assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            gate.opened.set()
            assert await rows_of(patient, path) == [[11, 1, 1, 3]]

    against(tmp_path, scenario, models=ONE_ARM)


@BOTH
def test_a_call_of_more_than_one_batch_is_answered_whole(tmp_path: Path, path: str) -> None:
    async def scenario(stack: Stack) -> None:
        async with grpc.aio.insecure_channel(stack.grpc) as channel:
            ask = method_of(channel, path)
            rows = [[float(n), 0, 0, 1] for n in range(5)]
            for _ in range(2):
                answer = await rows_of(ask(message(path, *rows)), path)
                assert answer == [[2 * n + 1, 1, 1, 3] for n in range(5)]
        assert sorted(stack.backends["tf"].batches) == [1, 1, 2, 2, 2, 2]
        assert stack.count("tandem_requests_total", reason="ok") == 2
        assert stack.count("tandem_assignments_total") == 2

    against(tmp_path, scenario, models=SMALL_BATCHES)


@BOTH
def test_who_leaves_while_its_batch_is_away_is_counted_once(tmp_path: Path, path: str) -> None:
    async def scenario(stack: Stack) -> None:
        gate = Gate()
        stack.backends["tf"].fault = gate
        async with grpc.aio.insecure_channel(stack.grpc) as channel:
            leaver = method_of(channel, path)(message(path, [1, 2, 3, 4]))
            await gate.arrived.wait()
            leaver.cancel()
            await until(lambda: stack.count("tandem_requests_total", reason="caller_left") == 1)
            gate.opened.set()
            with pytest.raises(asyncio.CancelledError):
                await leaver
        assert stack.count("tandem_requests_total") == 1
        assert stack.count("tandem_in_flight_requests") == 0
        assert stack.count("tandem_in_flight_bytes") == 0

    against(tmp_path, scenario, models=ONE_ARM)
