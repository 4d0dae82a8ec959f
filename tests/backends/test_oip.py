"""The backend that speaks the Open Inference Protocol, before a real gRPC server in this process."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import grpc
import numpy as np
import pytest

from gateway._stubs import oip_wire_pb2 as pb
from gateway.backends.grpc_link import GrpcLink
from gateway.backends.oip import OipBackend
from gateway.codecs import oip_proto
from gateway.errors import (
    BackendInvalid,
    BackendRefused,
    BackendTimeout,
    BackendUnavailable,
    InputTooLarge,
)
from gateway.messages import Deadline, InferRequest, InferResponse
from gateway.tensors import Tensor
from tests.addresses import free_port
from tests.backends.grpc_answers import always, refusing
from tests.backends.oip_server import MAX_MESSAGE_BYTES, backend_at, backend_of, serving

BATCH = InferRequest(
    model="iris",
    version="2",
    inputs=(Tensor("x", "FP32", np.arange(8, dtype="<f4").reshape(2, 4)),),
)


def soon(seconds: float = 10.0) -> Deadline:
    return Deadline.after(asyncio.get_running_loop().time(), seconds)


def doubled(data: bytes) -> bytes:
    """What a model that doubles its input answers."""
    request = oip_proto.decode_request(data)
    outputs = tuple(Tensor("y", t.datatype, np.asarray(t.array) * 2) for t in request.inputs)
    return oip_proto.encode_response(
        InferResponse(model=request.model, version=request.version or "1", outputs=outputs)
    )


async def double(data: bytes, _context: Any) -> bytes:
    await asyncio.sleep(0)
    return doubled(data)


class TestInfer:
    def test_a_batch_comes_back_answered(self) -> None:
        """Tensors there and back, the version that answered, and a repr that says who is asked."""

        async def story() -> None:
            async with backend_of({"ModelInfer": double}) as backend:
                response = await backend.infer(BATCH, soon())
                assert response.version == "2"
                assert response.outputs[0].array.tolist() == (BATCH.inputs[0].array * 2).tolist()
                assert repr(backend).startswith("OipBackend('pt', '127.0.0.1:")

        asyncio.run(story())

    def test_the_server_learns_the_deadline(self) -> None:
        """So that it can drop work that nobody waits for."""
        remaining: list[float] = []

        async def note(data: bytes, context: Any) -> bytes:
            remaining.append(context.time_remaining())
            return await double(data, context)

        async def story() -> None:
            async with backend_of({"ModelInfer": note}) as backend:
                await backend.infer(BATCH, soon(5.0))

        asyncio.run(story())
        # gRPC rounds a timeout up on the wire (5.0 s arrive as up to 5.01); without one it is infinite.
        assert 0 < remaining[0] < 6.0

    def test_a_server_that_is_too_late_times_out(self) -> None:
        """And one that is asked after the deadline."""

        async def hang(_data: bytes, _context: Any) -> bytes:
            await asyncio.Event().wait()
            raise AssertionError("it waits for ever")

        async def story() -> None:
            async with backend_of({"ModelInfer": hang}) as backend:
                with pytest.raises(BackendTimeout):
                    await backend.infer(BATCH, soon(0.05))
                with pytest.raises(BackendTimeout):
                    await backend.infer(BATCH, soon(-1.0))

        asyncio.run(story())

    def test_a_cancelled_caller_cancels_the_call(self) -> None:
        """The server sees it, and the next caller is not hurt."""

        async def story() -> None:
            started, left = asyncio.Event(), asyncio.Event()

            async def hang_once(data: bytes, context: Any) -> bytes:
                if started.is_set():
                    return await double(data, context)
                started.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    left.set()
                raise AssertionError("it waits for ever")

            async with backend_of({"ModelInfer": hang_once}) as backend:
                async with asyncio.TaskGroup() as group:
                    call = group.create_task(backend.infer(BATCH, soon()))
                    await started.wait()
                    call.cancel()
                async with asyncio.timeout(10):
                    await left.wait()
                assert call.cancelled()
                assert (await backend.infer(BATCH, soon())).version == "2"

        asyncio.run(story())

    def test_nobody_there_is_unavailable_until_somebody_is(self) -> None:
        """The channel connects again by itself."""

        async def story() -> None:
            address = f"127.0.0.1:{free_port()}"
            async with backend_at(address) as backend:
                with pytest.raises(BackendUnavailable):
                    await backend.infer(BATCH, soon())
                async with serving({"ModelInfer": double}, address), asyncio.timeout(20):
                    await connected(backend)
                    assert (await backend.infer(BATCH, soon())).version == "2"

        asyncio.run(story())

    def test_a_server_that_goes_away_is_unavailable(self) -> None:
        """In the middle of a call."""

        async def story() -> None:
            started = asyncio.Event()

            async def hang(_data: bytes, _context: Any) -> bytes:
                started.set()
                await asyncio.Event().wait()
                raise AssertionError("it waits for ever")

            async def call(backend: OipBackend) -> None:
                with pytest.raises(BackendUnavailable):
                    await backend.infer(BATCH, soon())

            async with asyncio.TaskGroup() as group:
                async with serving({"ModelInfer": hang}) as address:
                    backend = OipBackend(
                        GrpcLink("pt", address, max_message_bytes=MAX_MESSAGE_BYTES)
                    )
                    asked = group.create_task(call(backend))
                    await started.wait()
                await asked
                await backend.aclose()

        asyncio.run(story())

    def test_a_closed_backend_is_unavailable(self) -> None:
        """Closing fails what is in flight, and what comes after."""

        async def story() -> None:
            async with serving({"ModelInfer": double}) as address:
                backend = OipBackend(GrpcLink("pt", address, max_message_bytes=MAX_MESSAGE_BYTES))
                await backend.aclose()
                with pytest.raises(BackendUnavailable):
                    await backend.infer(BATCH, soon())

        asyncio.run(story())

    def test_a_servers_error_is_passed_on(self) -> None:
        """With its text and its code."""

        async def story() -> None:
            refuse = refusing(grpc.StatusCode.INVALID_ARGUMENT, "unexpected shape")
            async with backend_of({"ModelInfer": refuse}) as backend:
                with pytest.raises(BackendRefused, match="unexpected shape") as caught:
                    await backend.infer(BATCH, soon())
                assert caught.value.code == "INVALID_ARGUMENT"

        asyncio.run(story())

    @pytest.mark.parametrize("answer", [b"\xff\xff", "short"])
    def test_an_answer_that_cannot_be_read_is_the_backends_fault(self, answer: bytes | str) -> None:
        """No message at all, and an output whose bytes do not fit its shape."""
        message = pb.ModelInferResponse(raw_output_contents=[b"123"])
        message.outputs.add(name="y", datatype="FP32", shape=[1])
        data = message.SerializeToString() if isinstance(answer, str) else answer

        async def story() -> None:
            async with backend_of({"ModelInfer": always(data)}) as backend:
                with pytest.raises(BackendInvalid, match="backend pt sent a ModelInferResponse"):
                    await backend.infer(BATCH, soon())

        asyncio.run(story())

    def test_an_answer_over_the_limit_is_refused(self) -> None:
        """A backend cannot make the gateway take any amount of memory."""

        async def story() -> None:
            huge = always(b"\0" * (MAX_MESSAGE_BYTES + 1))
            async with backend_of({"ModelInfer": huge}) as backend:
                with pytest.raises(BackendRefused) as caught:
                    await backend.infer(BATCH, soon())
                assert caught.value.code == "RESOURCE_EXHAUSTED"

        asyncio.run(story())

    def test_a_request_over_the_servers_limit_is_the_callers_fault(self) -> None:
        """The server here has gRPC's default, 4 MiB; a parameter may be longer."""
        long = dataclasses.replace(BATCH, parameters={"p": "x" * 5_000_000})

        async def story() -> None:
            async with backend_of({"ModelInfer": always(b"")}) as backend:
                with pytest.raises(InputTooLarge, match=r"5000\d\d\d vs. 4194304"):
                    await backend.infer(long, soon())

        asyncio.run(story())


async def connected(backend: OipBackend) -> None:
    """Returns when the channel is connected; has no end of its own."""
    channel = backend._link._channel
    ready = grpc.ChannelConnectivity.READY
    while (state := channel.get_state(try_to_connect=True)) is not ready:
        await channel.wait_for_state_change(state)
