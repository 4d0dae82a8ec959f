"""Server reflection, with gRPC's own client for it: what it tells suffices to call the services."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from grpc_reflection.v1alpha.reflection_pb2 import (
    ServerReflectionRequest,
    ServerReflectionResponse,
)

from gateway.codecs.descriptors import public_pool
from tests.fakes.gateways import Stack, running

ON = "grpc_reflection = true\n"  # goes on with the section [listen]


def against(path: Path, ask: Callable[[grpc.Channel], None], settings: str = ON) -> None:
    """Run `ask`, which blocks, beside a gateway."""

    async def run() -> None:
        async with running(path / "tandem.toml", settings=settings) as stack:
            await asyncio.to_thread(_with_channel, stack, ask)

    asyncio.run(run())


def _with_channel(stack: Stack, ask: Callable[[grpc.Channel], None]) -> None:
    with grpc.insecure_channel(stack.grpc) as channel:
        ask(channel)


def test_every_service_is_listed_with_every_method_that_has_a_form(tmp_path: Path) -> None:
    def ask(channel: grpc.Channel) -> None:
        database = ProtoReflectionDescriptorDatabase(channel)
        _, services = public_pool()
        listed = set(database.get_services())
        assert listed == set(services)
        assert listed > {
            "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection",
        }
        pool = DescriptorPool(database)
        for service in services:
            for method in pool.FindServiceByName(service).methods:
                served = f"/{service}/{method.name}"
                assert _code(channel, served) != grpc.StatusCode.UNIMPLEMENTED, served

    against(tmp_path, ask)


def _streams(channel: grpc.Channel, method: str) -> Any:
    return channel.stream_stream(method)


def _code(channel: grpc.Channel, method: str) -> grpc.StatusCode:
    """What the method answers to a message that is none."""
    call: Any = _streams(channel, method)(iter([b"\xff"]), timeout=10)
    try:
        next(call)
    except grpc.RpcError as error:
        code: grpc.StatusCode = error.code()
        return code
    finally:
        call.cancel()
    return grpc.StatusCode.OK


@pytest.mark.parametrize("field", ["float_val", "tensor_content"])
def test_predict_can_be_called_with_nothing_but_what_is_told(tmp_path: Path, field: str) -> None:
    def ask(channel: grpc.Channel) -> None:
        pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
        method = pool.FindServiceByName("tensorflow.serving.PredictionService").FindMethodByName(
            "Predict"
        )
        request: Any = GetMessageClass(method.input_type)()
        request.model_spec.name = "floats"
        tensor = request.inputs["x"]
        tensor.dtype = 1
        for size in (1, 4):
            tensor.tensor_shape.dim.add(size=size)
        if field == "float_val":
            tensor.float_val.extend([1, 2, 3, 4])
        else:
            tensor.tensor_content = b"\0\0\x80?" * 4
        call: Any = channel.unary_unary(f"/{method.containing_service.full_name}/Predict")
        answer: Any = GetMessageClass(method.output_type).FromString(
            call(request.SerializeToString())
        )
        (output,) = answer.outputs.values()
        assert list(output.float_val) == ([3, 5, 7, 9] if field == "float_val" else [3] * 4)

    against(tmp_path, ask)


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_one_stream_answers_many_questions_and_what_is_no_question(
    tmp_path: Path, version: str
) -> None:
    def ask(channel: grpc.Channel) -> None:
        call = _streams(
            channel, f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
        )
        asked = [
            ServerReflectionRequest(file_containing_symbol="inference.ModelInferRequest"),
            ServerReflectionRequest(file_by_filename="none.proto"),
            ServerReflectionRequest(),
        ]
        sent = [*(one.SerializeToString() for one in asked), b"\xff"]
        told = [ServerReflectionResponse.FromString(data) for data in call(iter(sent), timeout=10)]
        kinds = [one.WhichOneof("message_response") for one in told]
        assert kinds == ["file_descriptor_response", *["error_response"] * 3]
        codes = [one.error_response.error_code for one in told[1:]]
        assert codes == [5, 3, 3]  # not found, invalid twice

    against(tmp_path, ask)


def test_it_is_not_there_unless_it_is_asked_for(tmp_path: Path) -> None:
    def ask(channel: grpc.Channel) -> None:
        method = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
        assert _code(channel, method) == grpc.StatusCode.UNIMPLEMENTED

    against(tmp_path, ask, settings="")


def test_an_idle_stream_ends_when_the_gateway_drains(tmp_path: Path) -> None:
    async def run() -> None:
        async with (
            running(tmp_path / "tandem.toml", settings=ON) as stack,
            grpc.aio.insecure_channel(stack.grpc) as channel,
        ):
            call: Any = channel.stream_stream(
                "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
            )()
            await call.write(ServerReflectionRequest(list_services="").SerializeToString())
            await call.read()
            async with asyncio.timeout(10):
                await stack.gateway.drain()
            assert await call.code() == grpc.StatusCode.UNAVAILABLE

    asyncio.run(run())
