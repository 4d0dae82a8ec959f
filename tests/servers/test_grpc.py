"""Both gRPC dialects on one port: answers, status codes, deadlines, and a client that cancels."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import grpc
import numpy as np
import pytest
import tritonclient.grpc.aio as triton
from tritonclient.utils import InferenceServerException

from gateway._stubs import oip_wire_pb2 as pb
from gateway.codecs import oip_proto, tfs_proto
from gateway.messages import InferRequest, Target
from gateway.tensors import Tensor
from tests.fakes.arithmetic import Gate
from tests.fakes.gateways import Stack, running, until

X = Tensor("x", "FP32", np.array([[1, 2, 3, 4]], np.float32))
PAIR = (
    Tensor("a", "FP32", np.zeros((1, 2), np.float32)),
    Tensor("b", "INT32", np.zeros(1, np.int32)),
)
IDS = Tensor("ids", "INT64", np.array([[1, 2]], np.int64))
PREDICT = "/tensorflow.serving.PredictionService/Predict"
INFER = "/inference.GRPCInferenceService/ModelInfer"


def against(path: Path, scenario: Callable[[Stack, grpc.aio.Channel], Awaitable[None]]) -> None:
    async def run() -> None:
        async with (
            running(path / "tandem.toml") as stack,
            grpc.aio.insecure_channel(stack.grpc) as channel,
        ):
            await scenario(stack, channel)

    asyncio.run(run())


def method_of(
    channel: grpc.aio.Channel, path: str
) -> grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]:
    """The method as a call of bytes for bytes."""
    return channel.unary_unary(path)


async def code_of(call: Awaitable[bytes]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), caught.value.details() or ""


def test_predict_and_model_infer_give_the_models_answer(tmp_path: Path) -> None:
    async def scenario(_: Stack, channel: grpc.aio.Channel) -> None:
        request = InferRequest(model="floats", inputs=(X,), id="mine")
        tfs = tfs_proto.decode_response(
            await method_of(channel, PREDICT)(tfs_proto.encode_request(request))
        )
        oip = oip_proto.decode_response(
            await method_of(channel, INFER)(oip_proto.encode_request(request))
        )
        for answer in (tfs, oip):
            assert answer.outputs[0].array.tolist() == [[3, 5, 7, 9]]
            assert (answer.model, answer.version) == ("floats", "1")
        assert tfs.signature == "serving_default"
        assert oip.id == "mine"

    against(tmp_path, scenario)


def test_calls_side_by_side_keep_their_own_metadata(tmp_path: Path) -> None:
    async def scenario(_: Stack, channel: grpc.aio.Channel) -> None:
        data = tfs_proto.encode_request(InferRequest(model="floats", inputs=(X,)))

        async def returned(sent: str) -> object:
            call = method_of(channel, PREDICT)(data, metadata=(("x-request-id", sent),))
            await call
            return dict(await call.trailing_metadata())["x-request-id"]

        sent = [f"call-{number}" for number in range(40)]
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(returned(one)) for one in sent]
        assert [call.result() for call in calls] == sent

    against(tmp_path, scenario)


def test_facts_come_as_trailing_metadata_when_asked(tmp_path: Path) -> None:
    async def scenario(_: Stack, channel: grpc.aio.Channel) -> None:
        data = tfs_proto.encode_request(InferRequest(model="floats", inputs=(X,)))
        metadata = (("x-tandem-explain", "1"), ("x-tandem-arm", "torch"), ("x-request-id", "abc"))
        call = method_of(channel, PREDICT)(data, metadata=metadata)
        await call
        trailing = dict(await call.trailing_metadata())
        assert trailing["x-request-id"] == "abc"
        assert trailing["x-tandem-arm"] == "torch"
        assert float(trailing["x-tandem-total-ms"]) > 0

    against(tmp_path, scenario)


@pytest.mark.parametrize(
    ("method", "request_", "code", "text"),
    [
        (PREDICT, InferRequest(model="none", inputs=()), "NOT_FOUND", "Latest(none)"),
        (
            PREDICT,
            InferRequest(model="floats", version="9", inputs=()),
            "NOT_FOUND",
            "Specific(floats, 9)",
        ),
        (
            PREDICT,
            InferRequest(model="floats", label="l", inputs=()),
            "INVALID_ARGUMENT",
            "Unrecognized servable version label: l",
        ),
        (
            PREDICT,
            InferRequest(model="floats", signature="s", inputs=(X,)),
            "FAILED_PRECONDITION",
            '"s"',
        ),
        # Served by a backend that takes only what fits; a TF Serving would be left to judge.
        (PREDICT, InferRequest(model="pairs", inputs=()), "INVALID_ARGUMENT", "wants ['a', 'b']"),
        (
            PREDICT,
            InferRequest(model="pairs", inputs=PAIR, outputs=("z",)),
            "INVALID_ARGUMENT",
            "output tensor alias not found in signature: z Outputs expected to be in the set {sum,twice}.",
        ),
        (
            INFER,
            InferRequest(model="floats", inputs=(X,), outputs=("z",)),
            "INVALID_ARGUMENT",
            "unexpected inference output 'z' for model 'floats'; outputs[0]: got output 'z'",
        ),
        (INFER, InferRequest(model="none", inputs=()), "NOT_FOUND", "unknown model: 'none'"),
        (
            INFER,
            InferRequest(model="floats", inputs=(Tensor("x", "FP64", np.zeros((1, 4))),)),
            "INVALID_ARGUMENT",
            "got FP64, model floats wants FP32",
        ),
    ],
)
def test_the_callers_mistakes_have_their_codes(
    tmp_path: Path, method: str, request_: InferRequest, code: str, text: str
) -> None:
    async def scenario(stack: Stack, channel: grpc.aio.Channel) -> None:
        encode = tfs_proto.encode_request if method == PREDICT else oip_proto.encode_request
        got, details = await code_of(method_of(channel, method)(encode(request_)))
        assert (got.name, text in details) == (code, True), details
        assert stack.count("tandem_requests_total") == 1

    against(tmp_path, scenario)


@pytest.mark.parametrize("count", [1, 30_000])  # in one step, or elsewhere
def test_an_unknown_model_is_told_before_what_is_wrong_with_its_tensors(
    tmp_path: Path, count: int
) -> None:
    """As Triton has it; the version, and a stream's answers, as well."""

    async def scenario(stack: Stack, channel: grpc.aio.Channel) -> None:
        for name, version, told in (
            ("none", "", "unknown model: 'none' is not found"),
            ("floats", "9", "unknown model: 'floats' version 9 is not found"),
        ):
            message = pb.ModelInferRequest(model_name=name, model_version=version)
            message.inputs.add(name="x", datatype="FP99", shape=[count])
            message.inputs[0].contents.fp32_contents.extend([1.0] * count)
            code, text = await code_of(method_of(channel, INFER)(message.SerializeToString()))
            assert (code.name, told in text) == ("NOT_FOUND", True), text
        message = pb.ModelInferRequest(model_name="floats")
        message.inputs.add(name="x", datatype="FP99", shape=[1])
        code, text = await code_of(method_of(channel, INFER)(message.SerializeToString()))
        assert (code.name, "FP99" in text) == ("INVALID_ARGUMENT", True), text
        assert stack.count("tandem_requests_total", reason="unknown_model") == 2

    against(tmp_path, scenario)


def test_bytes_that_are_no_message_are_refused_as_each_dialect_has_it(tmp_path: Path) -> None:
    async def scenario(stack: Stack, channel: grpc.aio.Channel) -> None:
        for method, expected in ((PREDICT, "INTERNAL"), (INFER, "INVALID_ARGUMENT")):
            code, _ = await code_of(method_of(channel, method)(b"\xff\xff\xff"))
            assert code.name == expected
        assert stack.count("tandem_requests_total", reason="invalid_request") == 2

    against(tmp_path, scenario)


def test_a_client_that_cancels_is_counted_and_its_mates_are_served(tmp_path: Path) -> None:
    async def scenario(stack: Stack, channel: grpc.aio.Channel) -> None:
        gate = Gate()
        stack.backends["tf"].fault = gate
        data = tfs_proto.encode_request(InferRequest(model="tokens", inputs=(IDS,)))
        first = method_of(channel, PREDICT)(data)
        await gate.reached()
        leaver = method_of(channel, PREDICT)(data)
        mate = method_of(channel, PREDICT)(data)
        await until(lambda: stack.count("tandem_queued_rows", model="tokens") >= 2)
        leaver.cancel()
        await until(lambda: stack.count("tandem_queued_rows", model="tokens") <= 1)
        gate.opened.set()
        for call in (first, mate):
            answer = tfs_proto.decode_response(await call)
            assert answer.outputs[0].array.tolist() == [3]
        assert stack.backends["tf"].batches == [1, 1]
        assert stack.count("tandem_requests_total", reason="caller_left") == 1
        assert stack.count("tandem_requests_total", reason="ok") == 2

    against(tmp_path, scenario)


def test_a_grpc_deadline_reaches_the_queue(tmp_path: Path) -> None:
    async def scenario(stack: Stack, channel: grpc.aio.Channel) -> None:
        gate = Gate()
        stack.backends["tf"].fault = gate
        data = tfs_proto.encode_request(InferRequest(model="tokens", inputs=(IDS,)))
        first = method_of(channel, PREDICT)(data)
        await gate.reached()
        code, _ = await code_of(method_of(channel, PREDICT)(data, timeout=0.05))
        assert code is grpc.StatusCode.DEADLINE_EXCEEDED
        gate.opened.set()
        await first
        assert stack.backends["tf"].batches == [1]

    against(tmp_path, scenario)


def test_metadata_and_status(tmp_path: Path) -> None:
    async def scenario(_: Stack, channel: grpc.aio.Channel) -> None:
        method = "/tensorflow.serving.PredictionService/GetModelMetadata"
        data = tfs_proto.encode_metadata_request(Target(model="floats"))
        described = tfs_proto.decode_metadata(await method_of(channel, method)(data))
        assert described.signatures["serving_default"].inputs["x"].shape == (-1, 4)
        method = "/tensorflow.serving.ModelService/GetModelStatus"
        data = tfs_proto.encode_status_request(Target(model="floats"))
        (status,) = tfs_proto.decode_status(await method_of(channel, method)(data))
        assert (status.version, status.state) == ("1", "AVAILABLE")
        data = tfs_proto.encode_status_request(Target(model="none"))
        code, _details = await code_of(method_of(channel, method)(data))
        assert code is grpc.StatusCode.NOT_FOUND

    against(tmp_path, scenario)


def test_the_real_triton_client_works_unchanged(tmp_path: Path) -> None:
    async def scenario(stack: Stack, _: grpc.aio.Channel) -> None:
        async with triton.InferenceServerClient(stack.grpc) as client:
            assert await client.is_server_live()
            assert await client.is_server_ready()
            assert await client.is_model_ready("floats")
            assert (await client.get_server_metadata()).name == "tandem"
            assert (await client.get_model_metadata("floats")).inputs[0].name == "x"
            index = await client.get_model_repository_index()
            assert {model.name for model in index.models} == {"floats", "tokens", "pairs"}
            asked = triton.InferInput("x", [2, 4], "FP32")
            asked.set_data_from_numpy(np.ones((2, 4), np.float32))
            answer = await client.infer("floats", [asked], request_id="mine")
            assert answer.as_numpy("y").tolist() == [[3.0] * 4] * 2
            with pytest.raises(InferenceServerException, match="unknown model: 'none'"):
                await client.infer("none", [asked])

    against(tmp_path, scenario)


@pytest.mark.parametrize("path", [PREDICT, INFER])
def test_a_message_over_the_limit_is_refused_and_counted(tmp_path: Path, path: str) -> None:
    async def run() -> None:
        limits = "[limits]\nmax_body_bytes = 100000\n"
        async with (
            running(tmp_path / "tandem.toml", settings=limits) as stack,
            grpc.aio.insecure_channel(stack.grpc) as channel,
        ):
            code, text = await code_of(method_of(channel, path)(bytes(150_000)))
            assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert "got a message of 150000 bytes, at most 100000 are taken" in text
            assert stack.count("tandem_requests_total", reason="body_too_large") == 1
            assert stack.count("tandem_requests_total") == 1

    asyncio.run(run())
