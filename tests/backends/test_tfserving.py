"""The backend that asks TensorFlow Serving, before a real gRPC server in this process."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import grpc
import numpy as np
import pytest

from gateway.backends.grpc_link import GrpcLink
from gateway.backends.tfserving import TfServingBackend
from gateway.codecs import tfs_proto
from gateway.errors import (
    BackendInvalid,
    BackendRefused,
    BackendTimeout,
    BackendUnavailable,
    InputTooLarge,
    UnknownModel,
)
from gateway.messages import (
    Deadline,
    InferRequest,
    InferResponse,
    ModelDescription,
    VersionStatus,
)
from gateway.tensors import Signature, Tensor, TensorSpec
from tests.addresses import free_port
from tests.backends.grpc_answers import always, refusing
from tests.backends.tfs_server import MAX_MESSAGE_BYTES, Stuck, backend_of, run, serving

BATCH = InferRequest(
    model="iris",
    version="2",
    signature="serving_default",
    inputs=(Tensor("x", "FP32", np.arange(8, dtype="<f4").reshape(2, 4)),),
)

DESCRIPTION = ModelDescription(
    model="iris",
    version="2",
    platform="tensorflow_serving",
    signatures={
        "serving_default": Signature(
            "serving_default",
            {"x": TensorSpec("x", "FP32", (-1, 4))},
            {"y": TensorSpec("y", "FP32", (-1, 3))},
            "tensorflow/serving/predict",
        )
    },
)


def soon(seconds: float = 10.0) -> Deadline:
    return Deadline.after(asyncio.get_running_loop().time(), seconds)


async def double(data: bytes, _context: Any) -> bytes:
    """What a model that doubles its input answers."""
    await asyncio.sleep(0)
    request = tfs_proto.decode_request(data)
    outputs = tuple(Tensor("y", t.datatype, np.asarray(t.array) * 2) for t in request.inputs)
    return tfs_proto.encode_response(
        InferResponse(model=request.model, version=request.version or "1", outputs=outputs)
    )


class TestInfer:
    def test_a_batch_comes_back_answered(self) -> None:
        async def story() -> None:
            async with backend_of(Predict=double) as backend:
                assert repr(backend).startswith("TfServingBackend('tf', '127.0.0.1:")
                response = await backend.infer(BATCH, soon())
                assert (response.version, response.signature) == ("2", "serving_default")
                assert response.outputs[0].array.tolist() == (BATCH.inputs[0].array * 2).tolist()

        run(story)

    def test_the_server_learns_the_deadline(self) -> None:
        """So that it can drop work that nobody waits for."""
        remaining: list[float] = []

        async def note(data: bytes, context: Any) -> bytes:
            remaining.append(context.time_remaining())
            return await double(data, context)

        async def story() -> None:
            async with backend_of(Predict=note) as backend:
                await backend.infer(BATCH, soon(7.0))

        run(story)
        # gRPC writes a timeout with few digits, rounded up: 7.0 s may arrive as 7.01 s.
        assert 0 < remaining[0] <= 7.1

    def test_a_late_answer_is_a_timeout(self) -> None:
        async def story() -> None:
            async with backend_of(Predict=Stuck().answer) as backend:
                with pytest.raises(BackendTimeout, match="iris: backend tf did not answer in time"):
                    await backend.infer(BATCH, soon(0.05))

        run(story)

    def test_a_deadline_that_has_passed_is_a_timeout_and_nothing_is_sent(self) -> None:
        async def story() -> None:
            stuck = Stuck()
            async with backend_of(Predict=stuck.answer) as backend:
                with pytest.raises(BackendTimeout):
                    await backend.infer(BATCH, soon(-1.0))
                assert not stuck.asked.is_set()

        run(story)

    def test_an_error_is_passed_on_with_its_text_and_code(self) -> None:
        async def story() -> None:
            answer = refusing(grpc.StatusCode.INVALID_ARGUMENT, "Matrix size-incompatible")
            async with backend_of(Predict=answer) as backend:
                with pytest.raises(BackendRefused, match="Matrix size-incompatible") as refused:
                    await backend.infer(BATCH, soon())
                assert refused.value.code == "INVALID_ARGUMENT"
                assert isinstance(refused.value.__cause__, grpc.aio.AioRpcError)

        run(story)

    def test_not_found_is_a_refusal_here_the_model_was_known_before(self) -> None:
        async def story() -> None:
            answer = refusing(grpc.StatusCode.NOT_FOUND, "Servable not found")
            async with backend_of(Predict=answer) as backend:
                with pytest.raises(BackendRefused) as refused:
                    await backend.infer(BATCH, soon())
                assert refused.value.code == "NOT_FOUND"

        run(story)

    def test_a_server_that_is_not_there_is_unavailable(self) -> None:
        async def story() -> None:
            backend = TfServingBackend(
                GrpcLink("tf", f"127.0.0.1:{free_port()}", max_message_bytes=MAX_MESSAGE_BYTES)
            )
            with pytest.raises(BackendUnavailable, match="cannot be reached"):
                await backend.infer(BATCH, soon())
            await backend.aclose()

        run(story)

    def test_a_server_that_goes_away_mid_batch_is_unavailable(self) -> None:
        async def story() -> None:
            stuck = Stuck()
            async with asyncio.TaskGroup() as group:
                async with serving({"Predict": stuck.answer}) as address:
                    backend = TfServingBackend(
                        GrpcLink("tf", address, max_message_bytes=MAX_MESSAGE_BYTES)
                    )
                    call = group.create_task(outcome(backend.infer(BATCH, soon())))
                    await stuck.asked.wait()
                assert isinstance(await call, BackendUnavailable)
                await backend.aclose()

        run(story)

    def test_a_server_that_comes_back_is_reached_again(self) -> None:
        async def story() -> None:
            address = f"127.0.0.1:{free_port()}"
            backend = TfServingBackend(GrpcLink("tf", address, max_message_bytes=MAX_MESSAGE_BYTES))
            with pytest.raises(BackendUnavailable):
                await backend.infer(BATCH, soon())
            async with serving({"Predict": double}, address):
                await backend._link._channel.channel_ready()  # it backs off for a second at most
                assert (await backend.infer(BATCH, soon())).outputs
            await backend.aclose()

        run(story)

    def test_closing_fails_the_calls_in_flight_and_later_ones(self) -> None:
        """As an error of the backend's, not as a cancellation that its caller never asked for."""

        async def story() -> None:
            stuck = Stuck()
            async with backend_of(Predict=stuck.answer) as backend, asyncio.TaskGroup() as group:
                call = group.create_task(outcome(backend.infer(BATCH, soon())))
                await stuck.asked.wait()
                await backend.aclose()
                assert isinstance(await call, BackendUnavailable)
                with pytest.raises(BackendUnavailable, match="closed"):
                    await backend.infer(BATCH, soon())

        run(story)

    def test_a_cancelled_caller_cancels_the_call(self) -> None:
        async def story() -> None:
            stuck = Stuck()
            async with backend_of(Predict=stuck.answer) as backend, asyncio.TaskGroup() as group:
                call = group.create_task(backend.infer(BATCH, soon()))
                await stuck.asked.wait()
                call.cancel()
                await asyncio.wait([call])
                assert call.cancelled()
                await stuck.cancelled.wait()

        run(story)

    @pytest.mark.parametrize("answer", [b"\xff\xff", b"\x0a\x07\x0a\x01y\x12\x02\x08\x08"])
    def test_an_answer_that_cannot_be_read_is_the_backends_fault(self, answer: bytes) -> None:
        """No message at all; an output of complex numbers."""

        async def story() -> None:
            async with backend_of(Predict=always(answer)) as backend:
                with pytest.raises(BackendInvalid, match="iris: backend tf sent a PredictResponse"):
                    await backend.infer(BATCH, soon())

        run(story)

    def test_messages_over_the_limit_are_refused_in_both_directions(self) -> None:
        big = np.zeros((MAX_MESSAGE_BYTES // 4 + 1, 1), "<f4")

        async def story() -> None:
            large = dataclasses.replace(BATCH, inputs=(Tensor("x", "FP32", big),))
            answer = tfs_proto.encode_response(
                InferResponse(model="iris", version="1", outputs=(Tensor("y", "FP32", big),))
            )
            async with backend_of(Predict=always(answer)) as backend:
                with pytest.raises(InputTooLarge, match="takes no request so large"):
                    await backend.infer(large, soon())
                with pytest.raises(BackendRefused) as refused:
                    await backend.infer(BATCH, soon())
                assert refused.value.code == "RESOURCE_EXHAUSTED"
                assert not isinstance(refused.value, InputTooLarge)

        run(story)


class TestLookup:
    def test_a_version_is_described(self) -> None:
        asked: list[str | None] = []

        async def describe(data: bytes, _context: Any) -> bytes:
            await asyncio.sleep(0)
            asked.append(tfs_proto.decode_metadata_request(data).version)
            return tfs_proto.encode_metadata(DESCRIPTION)

        async def story() -> None:
            async with backend_of(GetModelMetadata=describe) as backend:
                for version in ("2", None):
                    found = await backend.describe("iris", version)
                    assert found.checks_itself
                    assert dataclasses.replace(found, checks_itself=False, told=b"") == DESCRIPTION

        run(story)
        assert asked == ["2", None]

    def test_versions_are_listed_newest_first(self) -> None:
        old = VersionStatus(version="1", state="END")
        new = VersionStatus(version="10", state="AVAILABLE")

        async def story() -> None:
            answer = always(tfs_proto.encode_status((old, new)))
            async with backend_of(GetModelStatus=answer) as backend:
                assert await backend.versions("iris") == (new, old)

        run(story)

    def test_an_unknown_model_is_the_callers_error_with_the_servers_text(self) -> None:
        async def story() -> None:
            answer = refusing(grpc.StatusCode.NOT_FOUND, "Could not find any versions of model x")
            async with backend_of(GetModelStatus=answer, GetModelMetadata=answer) as backend:
                with pytest.raises(UnknownModel, match="Could not find any versions of model x"):
                    await backend.versions("x")
                with pytest.raises(UnknownModel):
                    await backend.describe("x", "1")

        run(story)

    def test_other_failures_stay_the_backends(self) -> None:
        async def story() -> None:
            answer = refusing(grpc.StatusCode.INTERNAL, "boom")
            async with backend_of(GetModelStatus=answer, GetModelMetadata=always(b"")) as backend:
                with pytest.raises(BackendRefused, match="boom"):
                    await backend.versions("iris")
                with pytest.raises(BackendInvalid, match="GetModelMetadataResponse"):
                    await backend.describe("iris", None)

        run(story)


async def outcome(call: Any) -> Any:
    """The result of an awaitable, or the exception that it ended with."""
    try:
        return await call
    except Exception as error:  # noqa: BLE001 - the test looks at it
        return error
