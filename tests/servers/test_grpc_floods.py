"""Small gRPC messages that ask for much."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc.aio
import pytest

from gateway._stubs import tfs_wire_pb2 as wire
from gateway.codecs.tfs_tensor import DT_NUMBERS
from tests.fakes.arithmetic import Arithmetic, Gate
from tests.fakes.gateways import running, until

PREDICT = "/tensorflow.serving.PredictionService/Predict"
SETTINGS = "[limits]\nmax_body_bytes = 65536\nmax_bytes_in_flight = 1000000\n"


def ones(count: int) -> bytes:
    """Token ids `[1, count]` that are all the one value given."""
    request = wire.PredictRequest()
    request.model_spec.name = "tokens"
    tensor = request.inputs["ids"]
    tensor.dtype = DT_NUMBERS["INT64"]  # type: ignore[assignment]  # the stubs want the enumeration
    tensor.tensor_shape.dim.add(size=1)
    tensor.tensor_shape.dim.add(size=count)
    tensor.int64_val.append(1)
    return request.SerializeToString()


def test_a_value_that_is_repeated_counts_as_often(tmp_path: Path) -> None:
    """100 bytes that grow to 600,000 count as that: two such requests do not fit into a million."""

    async def scenario() -> None:
        gate = Gate()
        backends = {"tf": Arithmetic(fault=gate), "torch": Arithmetic()}
        async with (
            running(tmp_path / "t.toml", settings=SETTINGS, backends=backends) as stack,
            grpc.aio.insecure_channel(stack.grpc) as channel,
        ):
            predict: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(PREDICT)
            first = predict(ones(75_000), timeout=20)
            await gate.reached()
            assert stack.count("tandem_in_flight_bytes") > 600_000
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await predict(ones(75_000), timeout=20)
            assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert "limits.max_bytes_in_flight" in str(refused.value.details())
            gate.opened.set()
            answer = wire.PredictResponse.FromString(await first)
            assert list(answer.outputs) == ["total"]
            await until(lambda: stack.count("tandem_in_flight_bytes") == 0)

    asyncio.run(scenario())
